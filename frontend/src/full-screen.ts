/** Whether this browser fills the screen with a picture; an iPhone's does not. */
export const canFillScreen = (): boolean => typeof document.documentElement.requestFullscreen === "function";

/** Show the picture on the whole screen, and back. */
export function toggleFullScreen(): void {
  if (!canFillScreen()) return;
  const done = document.fullscreenElement
    ? document.exitFullscreen()
    : document.querySelector(".screen")?.requestFullscreen();
  done?.catch(() => undefined); // a policy or the system forbids it: all stays as it is
}
