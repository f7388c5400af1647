import { useEffect, useRef, useState } from "react";

import { Refused, readReference } from "@/api/client";
import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";
import { FilePicker } from "@/ui/file-picker";
import { Icon } from "@/ui/icons";

import { smallCopy } from "./reference";

const TEXT = STRINGS.reference;

/** A picture instead of words: the server reads its style, which becomes the prompt. */
export function ReferenceButton({ onRead }: { onRead: (prompt: string) => void }) {
  const picker = useRef<HTMLInputElement>(null);
  const [shown, setShown] = useState<string | null>(null); // address of the picture that was read
  const [said, setSaid] = useState<string | null>(null);
  useEffect(
    () => () => {
      if (shown) URL.revokeObjectURL(shown);
    },
    [shown],
  );
  const read = async (picture: File): Promise<void> => {
    setSaid(TEXT.reading);
    try {
      const small = await smallCopy(picture);
      const { prompt } = await readReference(small);
      setShown(URL.createObjectURL(small));
      setSaid(prompt === "" ? TEXT.none : null);
      if (prompt !== "") onRead(prompt);
    } catch (error) {
      setShown(null);
      setSaid(error instanceof Refused ? error.message : TEXT.unreadable);
    }
  };
  return (
    <div className="flex flex-wrap items-center gap-2">
      <FilePicker
        picker={picker}
        accept="image/*"
        testId="reference-file"
        label={TEXT.choose}
        onPick={(picture) => void read(picture)}
      />
      <Button data-testid="reference" title={TEXT.hint} onClick={() => picker.current?.click()}>
        {shown ? <img src={shown} alt="" className="size-6 rounded-md object-cover" /> : <Icon name="picture" />}
        {TEXT.choose}
      </Button>
      <p role="status" data-testid="reference-said" className="text-sm text-muted empty:hidden">
        {said}
      </p>
    </div>
  );
}
