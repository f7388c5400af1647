const PATHS = {
  camera: "M4 7.5A1.5 1.5 0 0 1 5.5 6h9A1.5 1.5 0 0 1 16 7.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 4 16.5zM16 10.5l4-2.5v8l-4-2.5",
  screen: "M4 5.5h16v10H4zM9 19.5h6M12 15.5v4",
  file: "M6 4h8l4 4v12H6zM10.5 11v5l4-2.5z",
  stop: "M7 7h10v10H7z",
  full: "M5 9V5h4M15 5h4v4M19 15v4h-4M9 19H5v-4",
  theme: "M12 4v16a8 8 0 0 0 0-16zM12 4a8 8 0 0 0 0 16",
  dice: "M5 5h14v14H5zM9 9h.01M15 9h.01M12 12h.01M9 15h.01M15 15h.01",
  mirror: "M12 4v16M9 8l-4 4 4 4zM15 8l4 4-4 4z",
  split: "M12 4v16M8 9l-3 3 3 3M16 9l3 3-3 3",
  snapshot: "M4 8h4l1.5-2.5h5L16 8h4v11H4zM12 10a3.2 3.2 0 1 0 .01 0",
  pip: "M4 5.5h16v13H4zM12 12h6v4.5h-6z",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  done: "M5 12.5l4.5 4.5L19 7.5",
  wipe: "M4 5.5h16v13H4zM12 3.5v17",
  side: "M3.5 7h7.5v10H3.5zM13 7h7.5v10H13z",
  difference: "M9.5 6.5a5.5 5.5 0 1 0 .01 0M14.5 6.5a5.5 5.5 0 1 0 .01 0",
  inset: "M4 5.5h16v13H4zM6.5 8h4.5v3.5H6.5z",
  only: "M4 5.5h16v13H4z",
  play: "M8 5.5v13l10.5-6.5z",
  plus: "M12 6v12M6 12h12",
  cross: "M7 7l10 10M17 7L7 17",
  swap: "M7 8h11l-3-3M17 16H6l3 3",
  loop: "M7 7h8a4 4 0 0 1 4 4v1M17 17H9a4 4 0 0 1-4-4v-1M9.5 4.5L7 7l2.5 2.5M14.5 14.5L17 17l-2.5 2.5",
  mute: "M5 10v4h3l4 3.5v-11L8 10zM16 10l4 4M20 10l-4 4",
  brush: "M19.5 4.5c-4 2-7 5-8.5 8l2 2c3-1.5 6-4.5 6.5-10zM10 14c-2 0-3.5 1-3.5 3 0 1-.8 1.8-2 2 4 1 7 0 7.5-3",
  eraser: "M4 15.5L13.5 6l5.5 5.5-7.5 7.5H7.5zM8.5 11l5.5 5.5M11 19h8.5",
  invert: "M4 5h16v14H4zM4 19L20 5M14 15h3",
  picture: "M4 5.5h16v13H4zM4 16l4.5-4.5 4.5 4.5 2.5-2.5 4.5 4.5M15 9h.01",
  undo: "M5 5v5h5M5.5 10a7.5 7.5 0 1 1-1 5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg
      aria-hidden="true"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.7"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
