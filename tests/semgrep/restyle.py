"""What each rule of restyle.yml finds, and what it lets pass: `semgrep --test` reads this file."""


def log(session, words):
    # ruleid: prompt-or-token-in-log
    logger.info("asked for %s", session.style.prompt)
    # ruleid: prompt-or-token-in-log
    logger.warning(f"session {words}")
    # ok: prompt-or-token-in-log
    logger.info("session %s opened", session.id)


def compare(given, settings):
    # ruleid: secret-compared-with-equals
    if settings.token == given:
        return True
    # ok: secret-compared-with-equals
    return hmac.compare_digest(settings.token, given)


def load(path):
    # ruleid: weights-that-run-code, training-loads-weights-only
    torch.load(path)
    # ok: training-loads-weights-only
    torch.load(path, weights_only=True)  # nosemgrep: weights-that-run-code
    # ruleid: weights-that-run-code
    pickle.load(path)
    # ok: weights-that-run-code
    return load_file(path)


def answer(url):
    try:
        connect(url)
    except OSError as error:
        # ruleid: library-text-in-an-answer
        raise ApiError("unreachable", f"no way to {error}") from error
    except TargetError as error:
        # ok: library-text-in-an-answer
        raise ApiError("invalid", str(error)) from error


def keep(path, picture):
    # ruleid: picture-to-disk
    cv2.imwrite(path, picture)
    # ruleid: picture-to-disk
    av.open(path, "w")
    # ok: picture-to-disk
    av.open(path)


def fetch(url):
    # ruleid: fetch-without-deadline
    urllib.request.urlopen(url)
    # ok: fetch-without-deadline
    return httpx.Client(base_url=url, timeout=3)


def wait(loss):
    # ruleid: device-wait-in-the-hot-path
    return loss.item()
