import { type ButtonHTMLAttributes, type ReactNode, useId } from "react";

import { STRINGS } from "@/strings";

import { Icon } from "./icons";

type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & {
  look?: "plain" | "strong" | "quiet";
  pressed?: boolean;
};

const LOOKS = {
  plain: "border border-line bg-raised hover:border-accent text-ink",
  strong: "bg-accent text-on-accent hover:brightness-110 shadow-sm",
  quiet: "text-muted hover:text-ink hover:bg-line/50",
};

export function Button({ look = "plain", pressed, className = "", ...rest }: ButtonProps) {
  const on = pressed ? "!border-accent !bg-accent/15 !text-accent-ink" : "";
  return (
    <button
      type="button"
      {...(pressed === undefined ? {} : { "aria-pressed": pressed })}
      className={`inline-flex min-h-10 items-center justify-center gap-2 rounded-xl px-3.5 text-sm font-medium transition disabled:opacity-50 ${LOOKS[look]} ${on} ${className}`}
      {...rest}
    />
  );
}

interface SliderProps {
  label: string;
  hint: string;
  value: number;
  min: number;
  max: number;
  step: number;
  testId: string;
  onChange: (value: number) => void;
  /** Given while the value is not the default: puts it back. */
  onReset?: (() => void) | undefined;
}

export function Slider({ label, hint, value, testId, onChange, onReset, ...range }: SliderProps) {
  const id = useId();
  return (
    <div title={hint}>
      <div className="mb-1 flex items-center gap-1.5 text-sm">
        <label htmlFor={id}>{label}</label>
        {onReset && <ResetButton label={label} testId={testId} onClick={onReset} />}
        <output htmlFor={id} className="ml-auto text-muted tabular-nums">
          {value}
        </output>
      </div>
      <input
        id={id}
        type="range"
        data-testid={testId}
        value={value}
        {...range}
        onChange={(event) => onChange(Number(event.target.value))}
        className="h-6 w-full accent-accent"
      />
    </div>
  );
}

interface CheckboxProps {
  label: string;
  hint: string;
  testId: string;
  checked: boolean;
  onChange: (on: boolean) => void;
}

export function Checkbox({ label, hint, testId, checked, onChange }: CheckboxProps) {
  return (
    <label className="flex items-center gap-3 text-sm" title={hint}>
      <input
        type="checkbox"
        data-testid={testId}
        className="size-4 accent-accent"
        checked={checked}
        onChange={(event) => onChange(event.target.checked)}
      />
      {label}
    </label>
  );
}

interface ResetProps {
  label: string;
  testId: string;
  onClick: () => void;
}

/** Puts one control back to its default. */
export function ResetButton({ label, testId, onClick }: ResetProps) {
  const text = STRINGS.resetOne(label);
  return (
    <button
      type="button"
      data-testid={`reset-${testId}`}
      aria-label={text}
      title={text}
      onClick={onClick}
      className="grid size-6 place-items-center rounded-full text-muted transition hover:bg-line/50 hover:text-ink"
    >
      <Icon name="undo" size={14} />
    </button>
  );
}

export function Field({ label, children }: { label: string; children: (id: string) => ReactNode }) {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-sm">
        {label}
      </label>
      {children(id)}
    </div>
  );
}

interface ChoiceProps<Name extends string> {
  label: string;
  /** What each is called, in the order in which they stand. */
  names: Readonly<Record<Name, string>>;
  value: Name;
  testId: string;
  onChange: (value: Name) => void;
}

/** One of a few, by name. */
export function Choice<Name extends string>({ label, names, value, testId, onChange }: ChoiceProps<Name>) {
  return (
    <Field label={label}>
      {(id) => (
        <select
          id={id}
          data-testid={testId}
          className={INPUT}
          value={value}
          onChange={(event) => onChange(event.target.value as Name)}
        >
          {Object.entries<string>(names).map(([name, text]) => (
            <option key={name} value={name}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface FoldProps {
  label: string;
  testId: string;
  children: ReactNode;
}

/** A part of a panel that is folded away until somebody opens it. */
export function Fold({ label, testId, children }: FoldProps) {
  return (
    <details data-testid={testId}>
      <summary className="cursor-pointer text-sm text-muted hover:text-ink">{label}</summary>
      <div className="mt-3 grid gap-3">{children}</div>
    </details>
  );
}

export const INPUT =
  "w-full rounded-xl border border-line bg-raised px-3 py-2 text-ink placeholder:text-muted/70 focus:border-accent";
