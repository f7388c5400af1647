const KEPT = "restyle.watch-name";

/** Give the name under which sessions of this browser are watched; null: none was asked for. */
export const keptName = (): string | null => localStorage.getItem(KEPT);

/** Make a name nobody guesses, for this session and those to come. */
export function keepName(): string {
  const name = crypto.randomUUID().replaceAll("-", "").slice(0, 16);
  localStorage.setItem(KEPT, name);
  return name;
}

/** Let sessions to come have no name. */
export const forgetName = (): void => localStorage.removeItem(KEPT);
