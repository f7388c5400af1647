import { useState } from "react";

import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";
import { Icon } from "@/ui/icons";

const KEPT = "restyle.theme";

/** Show what was chosen here before; else what the system says, by CSS alone. */
export function applyTheme(): void {
  const kept = localStorage.getItem(KEPT);
  if (kept) document.documentElement.dataset.theme = kept;
}

export function ThemeButton() {
  const [dark, setDark] = useState(
    () => (document.documentElement.dataset.theme ?? systemTheme()) === "dark",
  );
  return (
    <Button
      look="quiet"
      aria-label={STRINGS.theme}
      title={STRINGS.theme}
      pressed={dark}
      className="!border-0 !bg-transparent max-sm:!px-2.5"
      onClick={() => {
        const theme = dark ? "light" : "dark";
        localStorage.setItem(KEPT, theme);
        applyTheme();
        setDark(!dark);
      }}
    >
      <Icon name="theme" />
    </Button>
  );
}

const systemTheme = (): string =>
  matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
