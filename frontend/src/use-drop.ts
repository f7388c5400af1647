import { useEffect } from "react";

import type { Source } from "@/call/live-state";
import { openFile } from "@/source/open-source";

type Open = (open: () => Promise<Source>) => void;

/** A file that is dropped or pasted anywhere on the page is opened; the browser would leave the page for it. */
export function useDrop(onOpen: Open): void {
  useEffect(() => {
    const over = (event: DragEvent): void => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    };
    const drop = (event: DragEvent): void => {
      over(event);
      take(event.dataTransfer?.files);
    };
    const paste = ({ clipboardData }: ClipboardEvent): void => {
      // a text that has a picture beside it, as from an office program, is meant as text
      if (!clipboardData?.types.includes("text/plain")) take(clipboardData?.files);
    };
    const take = (files: FileList | undefined): void => {
      const [file] = files ?? [];
      if (file) onOpen(() => openFile(file));
    };
    window.addEventListener("dragover", over);
    window.addEventListener("drop", drop);
    window.addEventListener("paste", paste);
    return () => {
      window.removeEventListener("dragover", over);
      window.removeEventListener("drop", drop);
      window.removeEventListener("paste", paste);
    };
  }, [onOpen]);
}
