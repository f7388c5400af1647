import { type ReactNode, useEffect, useState } from "react";
import { createPortal } from "react-dom";

import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";
import { Icon } from "@/ui/icons";

interface DocumentPictureInPicture {
  requestWindow(size: { width: number; height: number }): Promise<Window>;
}

declare global {
  interface Window {
    documentPictureInPicture?: DocumentPictureInPicture;
  }
}

/** Puts the children into a small window of their own that stays above all others. */
export function FloatButton({ disabled, children }: { disabled: boolean; children: ReactNode }) {
  const [place, setPlace] = useState<Window | null>(null);
  const [refused, setRefused] = useState(false);
  useEffect(() => () => place?.close(), [place]);
  useTheme(place);
  const { documentPictureInPicture: floating } = window;
  if (!floating) return null;
  const open = async (): Promise<void> => {
    const made = await floating.requestWindow({ width: 360, height: 500 });
    setRefused(false);
    dress(made.document);
    made.addEventListener("pagehide", () => setPlace(null));
    setPlace(made);
  };
  return (
    <>
      <Button
        data-testid="float"
        title={STRINGS.float}
        aria-label={STRINGS.float}
        pressed={place !== null}
        disabled={disabled && place === null}
        onClick={() => (place ? setPlace(null) : void open().catch(() => setRefused(true)))}
      >
        <Icon name="pip" />
      </Button>
      {place && createPortal(children, place.document.body)}
      {refused && (
        <p role="alert" className="order-last basis-full text-right text-sm text-muted">
          {STRINGS.noFloat}
        </p>
      )}
    </>
  );
}

/** Keep the window as light or dark as the page. */
function useTheme(place: Window | null): void {
  useEffect(() => {
    if (!place) return;
    const follow = (): void => void Object.assign(place.document.documentElement.dataset, document.documentElement.dataset);
    follow();
    const watch = new MutationObserver(follow);
    watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => watch.disconnect();
  }, [place]);
}

/** Give the window the page's look; the policy allows style sheets of this server alone. */
function dress(page: Document): void {
  page.title = STRINGS.name;
  page.documentElement.lang = document.documentElement.lang;
  for (const sheet of document.querySelectorAll("link[rel=stylesheet], style")) {
    page.head.append(sheet.cloneNode(true));
  }
}
