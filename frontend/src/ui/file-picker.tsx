import type { Ref } from "react";

interface FilePickerProps {
  /** A button opens it by a click on this. */
  picker: Ref<HTMLInputElement>;
  accept: string;
  label: string;
  testId?: string;
  onPick: (file: File) => void;
}

/** Chooses a file, out of sight; the same one may be chosen again. */
export function FilePicker({ picker, accept, label, testId, onPick }: FilePickerProps) {
  return (
    <input
      ref={picker}
      type="file"
      accept={accept}
      data-testid={testId}
      aria-label={label}
      className="hidden"
      onChange={(event) => {
        const file = event.target.files?.[0];
        event.target.value = "";
        if (file) onPick(file);
      }}
    />
  );
}
