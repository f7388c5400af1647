import type { ReactNode } from "react";

import type { Source } from "@/call/live-state";
import { SourceButtons } from "@/source/source-bar";
import { STRINGS } from "@/strings";

/** In place of the picture, until there is one. */
export function Welcome({ onOpen }: { onOpen: (open: () => Promise<Source>) => void }) {
  return (
    <Backdrop>
      <div className="flex max-w-lg flex-col items-center gap-3 @md:gap-4">
        <h2 className="text-2xl font-semibold tracking-tight text-balance @xs:text-3xl @md:text-4xl">
          {STRINGS.welcome}
        </h2>
        <p className="text-balance text-white/80">{isHere() ? STRINGS.welcomeTextHere : STRINGS.welcomeText}</p>
        <SourceButtons large onOpen={onOpen} active={null} />
      </div>
    </Backdrop>
  );
}

/** What stands in place of the picture, with or without words on it. */
export function Backdrop({ children }: { children?: ReactNode }) {
  return (
    <div className="welcome @container relative grid text-center">
      <div className="grid place-items-center p-4 @xs:p-6">{children}</div>
    </div>
  );
}

/** The server is this computer. */
const isHere = (): boolean => ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
