import { type SyntheticEvent, useRef, useState, useSyncExternalStore } from "react";

import type { Style } from "@/api/client";
import { STRINGS } from "@/strings";
import { Button, INPUT, SUMMARY } from "@/ui/controls";
import { download } from "@/ui/download";
import { FilePicker } from "@/ui/file-picker";

import { Chip } from "./history-list";
import { LONGEST_NAME, savedLooks as looks, put, readLooks, writeLooks } from "./looks";

interface LooksPanelProps {
  style: Style;
  onPick: (style: Style) => void;
}

/** Styles saved by name in this browser, and files of them. */
export function LooksPanel({ style, onPick }: LooksPanelProps) {
  const saved = useSyncExternalStore(looks.subscribe, looks.get);
  const [name, setName] = useState("");
  const [message, setMessage] = useState(looks.dropped > 0 ? STRINGS.looksLost(looks.dropped) : null);
  const picker = useRef<HTMLInputElement>(null);
  const save = (event: SyntheticEvent): void => {
    event.preventDefault();
    looks.set(put(saved, { name: name.trim(), style: { ...style, bypass: false } }));
    setName("");
    setMessage(null);
  };
  const read = async (file: File): Promise<void> => {
    try {
      const read = await readLooks(file);
      looks.set(read.reduce(put, looks.get()));
      setMessage(STRINGS.looksRead(read.length));
    } catch (error) {
      setMessage(STRINGS.badLooks(file.name, (error as Error).message));
    }
  };
  return (
    <details data-testid="looks">
      <summary className={SUMMARY}>
        {STRINGS.looks}
        {saved.length > 0 && ` (${saved.length})`}
      </summary>
      <div className="mt-3 grid gap-3">
        <form onSubmit={save} className="flex gap-2">
          <input
            data-testid="look-name"
            aria-label={STRINGS.lookName}
            placeholder={STRINGS.lookName}
            maxLength={LONGEST_NAME}
            className={INPUT}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          <Button type="submit" data-testid="look-save" disabled={name.trim() === ""}>
            {STRINGS.save}
          </Button>
        </form>
        {saved.length > 0 && (
          <ul aria-label={STRINGS.looks} className="flex max-h-32 flex-wrap gap-1.5 overflow-y-auto">
            {saved.map((look) => (
              <Chip
                key={look.name}
                text={look.name}
                removeLabel={STRINGS.deleteLook(look.name)}
                onPick={() => onPick(look.style)}
                onRemove={() => looks.set(saved.filter(({ name }) => name !== look.name))}
              />
            ))}
          </ul>
        )}
        <div className="flex gap-2">
          <Button
            data-testid="looks-export"
            disabled={saved.length === 0}
            onClick={() =>
              download(new Blob([writeLooks(saved)], { type: "application/json" }), "restyle-looks.json")
            }
          >
            {STRINGS.exportLooks}
          </Button>
          <Button data-testid="looks-import" onClick={() => picker.current?.click()}>
            {STRINGS.importLooks}
          </Button>
          <FilePicker
            picker={picker}
            accept="application/json,.json"
            label={STRINGS.importLooks}
            onPick={(file) => void read(file)}
          />
        </div>
        <p role="status" data-testid="looks-message" className="text-sm text-muted empty:hidden">
          {message}
        </p>
      </div>
    </details>
  );
}
