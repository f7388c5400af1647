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

interface Resettable {
  /** Given while the value is not the default: puts it back. */
  onReset?: (() => void) | undefined;
}

const NAMED = "mb-1 flex items-center gap-1.5 text-sm"; // the line above an input

interface SliderProps extends Resettable {
  label: string;
  hint: string;
  value: number;
  min: number;
  max: number;
  step: number;
  testId: string;
  onChange: (value: number) => void;
}

export function Slider({ label, hint, value, testId, onChange, onReset, ...range }: SliderProps) {
  const id = useId();
  return (
    <div title={hint}>
      <div className={NAMED}>
        <label htmlFor={id}>{label}</label>
        <ResetButton label={label} testId={testId} onReset={onReset} />
        <output htmlFor={id} aria-live="off" className="ml-auto text-muted tabular-nums">
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
        className="h-6 w-full"
      />
    </div>
  );
}

interface CheckboxProps extends Resettable {
  label: string;
  hint: string;
  testId: string;
  checked: boolean;
  onChange: (on: boolean) => void;
}

export function Checkbox({ label, hint, testId, checked, onChange, onReset }: CheckboxProps) {
  return (
    <div className="flex items-center gap-1.5 text-sm" title={hint}>
      <label className="flex items-center gap-3">
        <input
          type="checkbox"
          data-testid={testId}
          className="size-4"
          checked={checked}
          onChange={(event) => onChange(event.target.checked)}
        />
        {label}
      </label>
      <ResetButton label={label} testId={testId} onReset={onReset} />
    </div>
  );
}

interface ResetProps extends Resettable {
  label: string;
  testId: string;
}

/** Puts one control back to its default; nothing while it has it. */
function ResetButton({ label, testId, onReset }: ResetProps) {
  if (!onReset) return null;
  const text = STRINGS.resetOne(label);
  return (
    <button
      type="button"
      data-testid={`reset-${testId}`}
      aria-label={text}
      title={text}
      onClick={onReset}
      className="-my-0.5 grid size-6 place-items-center rounded-full text-muted transition hover:bg-line/50 hover:text-ink"
    >
      <Icon name="undo" size={14} />
    </button>
  );
}

interface FieldProps extends Resettable {
  label: string;
  /** Of what is in it; a field without has no reset. */
  testId?: string;
  children: (id: string) => ReactNode;
}

export function Field({ label, testId = "", children, onReset }: FieldProps) {
  const id = useId();
  return (
    <div>
      <div className={NAMED}>
        <label htmlFor={id}>{label}</label>
        <ResetButton label={label} testId={testId} onReset={onReset} />
      </div>
      {children(id)}
    </div>
  );
}

interface ChoiceProps<Name extends string> extends Resettable {
  label: string;
  /** What each is called, in the order in which they stand. */
  names: Readonly<Record<Name, string>>;
  /** Those that there are; all of them unless said. */
  of?: readonly Name[];
  value: Name;
  testId: string;
  onChange: (value: Name) => void;
}

/** One of a few, by name. */
export function Choice<Name extends string>(props: ChoiceProps<Name>) {
  const { label, names, value, testId, onChange, onReset } = props;
  const { of = Object.keys(names) as Name[] } = props;
  return (
    <Field label={label} testId={testId} onReset={onReset}>
      {(id) => (
        <select
          id={id}
          data-testid={testId}
          className={INPUT}
          value={value}
          onChange={(event) => onChange(event.target.value as Name)}
        >
          {of.map((name) => (
            <option key={name} value={name}>
              {names[name]}
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
      <summary className={SUMMARY}>{label}</summary>
      <div className="mt-3 grid gap-3">{children}</div>
    </details>
  );
}

const BOX = "rounded-xl border border-line bg-raised text-ink placeholder:text-muted/70 focus:border-accent";

export const INPUT = `w-full px-3 py-2 ${BOX}`;

/** A choice among buttons: as high as they are, as wide as its longest name. */
export const SHORT_CHOICE = `min-h-10 px-1.5 text-sm ${BOX}`;

/** What folds a part out: more of it can be hit than its words. */
export const SUMMARY = "-my-1 cursor-pointer rounded-lg py-1 text-sm text-muted hover:text-ink";
