import { useCallback, useEffect, useState } from "react";

import { type Info, Refused, forgetToken, getInfo, onToken, redeemLink } from "@/api/client";

import { live, style } from "./app-state";

const LATER = 1500; // ms between looks for a server that loads or is away

interface Found {
  info: Info | null;
  /** The server is there, its model is not yet. */
  loading: boolean;
  look: () => void;
}

/** What serves here; asked again until somebody answers, and once a server that was away is back. */
export function useInfo(): Found {
  const [info, setInfo] = useState<Info | null>(null);
  const [loading, setLoading] = useState(false);
  const [asked, setAsked] = useState(0);
  const look = useCallback(() => setAsked((times) => times + 1), []);
  useEffect(() => onToken(look), [look]);
  useEffect(() => {
    let away = false;
    return live.subscribe(() => {
      const { state } = live.get().phase;
      if (state === "live" && away) look(); // it may be another one by now
      if (state === "gone" || state === "live") away = state === "gone";
    });
  }, [look]);
  useEffect(() => {
    let timer = 0;
    const ask = async (): Promise<void> => {
      try {
        await redeemLink();
        const found = await getInfo();
        style.useDefaults(found);
        setInfo(found);
        setLoading(false);
        if (live.get().phase.state === "unauthorised") live.authorised();
      } catch (error) {
        if (error instanceof Refused && error.status === 401) {
          forgetToken();
          live.unauthorised();
        } else {
          setLoading(error instanceof Refused && error.code === "loading");
          timer = window.setTimeout(look, LATER);
        }
      }
    };
    void ask();
    return () => window.clearTimeout(timer);
  }, [asked, look]);
  return { info, loading, look };
}
