import { useCallback, useEffect, useState } from "react";

import { type Info, Refused, forgetToken, getInfo, onToken, redeemLink } from "@/api/client";

import { live, style } from "./app-state";

const LATER = 1500; // ms between looks for a server that loads or is away

/** What serves here; asked again until somebody answers. */
export function useInfo(): { info: Info | null; look: () => void } {
  const [info, setInfo] = useState<Info | null>(null);
  const [asked, setAsked] = useState(0);
  const look = useCallback(() => setAsked((times) => times + 1), []);
  useEffect(() => onToken(look), [look]);
  useEffect(() => {
    let timer = 0;
    const ask = async (): Promise<void> => {
      try {
        await redeemLink();
        const found = await getInfo();
        style.useDefaults(found);
        setInfo(found);
        if (live.get().phase.state === "unauthorised") live.authorised();
      } catch (error) {
        if (error instanceof Refused && error.status === 401) {
          forgetToken();
          live.unauthorised();
        } else {
          timer = window.setTimeout(look, LATER);
        }
      }
    };
    void ask();
    return () => window.clearTimeout(timer);
  }, [asked, look]);
  return { info, look };
}
