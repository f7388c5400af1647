import type { Source } from "@/call/live";
import { SourceButtons } from "@/source/source-bar";
import { STRINGS } from "@/strings";

/** In place of the picture, until there is one. */
export function Welcome({ onOpen }: { onOpen: (open: () => Promise<Source>) => void }) {
  return (
    <div className="welcome absolute inset-0 grid place-items-center p-6 text-center">
      <div className="flex max-w-lg flex-col items-center gap-4">
        <h2 className="text-3xl font-semibold tracking-tight text-balance sm:text-4xl">
          {STRINGS.welcome}
        </h2>
        <p className="text-balance text-white/80">{STRINGS.welcomeText}</p>
        <SourceButtons large onOpen={onOpen} active={null} />
      </div>
    </div>
  );
}
