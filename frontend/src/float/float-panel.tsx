import { useEffect, useRef, useState, useSyncExternalStore } from "react";

import { STRINGS } from "@/strings";
import type { StyleStore } from "@/style/style-store";
import { Button, INPUT, Slider } from "@/ui/controls";

interface FloatPanelProps {
  output: MediaStream | null;
  mirror: boolean;
  aspect: number;
  store: StyleStore;
}

/** The result with what one wants at hand while another program has the screen. */
export function FloatPanel({ output, mirror, aspect, store }: FloatPanelProps) {
  const { style } = useSyncExternalStore(store.subscribe, store.get);
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (!video.current) return;
    video.current.srcObject = output;
    void video.current.play().catch(() => undefined); // the call ended before the first frame
  }, [output]);
  return (
    <main className="flex flex-col gap-3 p-3">
      <video
        ref={video}
        data-testid="float-video"
        aria-label={STRINGS.restyled}
        autoPlay
        muted
        playsInline
        style={{ aspectRatio: aspect }}
        className={`w-full rounded-2xl bg-stage object-cover ${mirror ? "-scale-x-100" : ""}`}
      />
      <PromptLine prompt={style.prompt} onCommit={(prompt) => store.change({ prompt })} />
      <div className="flex items-end gap-3">
        <div className="grow">
          <Slider
            label={STRINGS.strength}
            hint={STRINGS.strengthHint}
            testId="float-strength"
            value={style.strength}
            min={0}
            max={1}
            step={0.02}
            onChange={(strength) => store.change({ strength })}
          />
        </div>
        <Button data-testid="float-bypass" pressed={style.bypass} onClick={() => store.change({ bypass: !style.bypass })}>
          {STRINGS.bypass}
        </Button>
      </div>
    </main>
  );
}

function PromptLine({ prompt, onCommit }: { prompt: string; onCommit: (prompt: string) => void }) {
  const [draft, setDraft] = useState(prompt);
  const [shown, setShown] = useState(prompt);
  if (prompt !== shown) {
    setShown(prompt); // chosen elsewhere
    setDraft(prompt);
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onCommit(draft);
      }}
    >
      <input
        data-testid="float-prompt"
        aria-label={STRINGS.prompt}
        dir="auto"
        placeholder={STRINGS.promptHint}
        maxLength={500}
        className={INPUT}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
      />
    </form>
  );
}
