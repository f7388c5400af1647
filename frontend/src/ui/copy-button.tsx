import { useEffect, useState } from "react";

import { STRINGS } from "@/strings";

import { Button, INPUT } from "./controls";
import { Icon } from "./icons";

const SHOWN = 2000; // ms that "Copied" stays

interface CopyButtonProps {
  label: string;
  testId: string;
  /** Makes the text when it is asked for. */
  text: () => string | Promise<string>;
}

/** Copies a text; where the browser forbids it, shows the text to copy by hand. */
export function CopyButton({ label, testId, text }: CopyButtonProps) {
  const [copied, setCopied] = useState(false);
  const [byHand, setByHand] = useState<string | null>(null);
  useEffect(() => {
    if (!copied) return;
    const timer = window.setTimeout(() => setCopied(false), SHOWN);
    return () => window.clearTimeout(timer);
  }, [copied]);
  const copy = async (): Promise<void> => {
    const wanted = await text();
    try {
      await navigator.clipboard.writeText(wanted);
      setByHand(null);
      setCopied(true);
    } catch {
      setByHand(wanted);
    }
  };
  return (
    <>
      <Button data-testid={testId} onClick={() => void copy()}>
        <Icon name={copied ? "done" : "copy"} />
        <span role="status">{copied ? STRINGS.copied : label}</span>
      </Button>
      {byHand !== null && (
        <label className="basis-full text-sm text-muted">
          {STRINGS.copyByHand}
          <input readOnly className={`${INPUT} mt-1`} value={byHand} onFocus={(event) => event.target.select()} />
        </label>
      )}
    </>
  );
}
