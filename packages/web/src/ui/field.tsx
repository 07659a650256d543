/** Fields with their label, a note, and the error that belongs to them. */
import { type ComponentProps, type ReactNode, useId } from "react";

interface Labelled {
  readonly label: ReactNode;
  readonly note?: ReactNode;
  /** What is wrong with the value, as a sentence. */
  readonly error?: string | undefined;
}

/** Lays out a label, a control and what is said about it; the control gets the ids. */
function Field(props: Labelled & { readonly control: (ids: ControlIds) => ReactNode }) {
  const id = useId();
  const { label, note, error, control } = props;
  const about = [note !== undefined && `${id}-note`, error !== undefined && `${id}-error`].filter(Boolean).join(" ");
  const ids: ControlIds = {
    id,
    ...(about !== "" && { "aria-describedby": about }),
    ...(error !== undefined && { "aria-invalid": true }),
  };
  return (
    <div className="labelled">
      <label htmlFor={id}>{label}</label>
      {control(ids)}
      {note !== undefined && (
        <span id={`${id}-note`} className="field-note">
          {note}
        </span>
      )}
      {error !== undefined && (
        <span id={`${id}-error`} className="field-error" role="alert">
          {error}
        </span>
      )}
    </div>
  );
}

interface ControlIds {
  readonly id: string;
  readonly "aria-describedby"?: string;
  readonly "aria-invalid"?: true;
}

export function Input({ label, note, error, className = "", ...rest }: Labelled & ComponentProps<"input">) {
  return (
    <Field
      label={label}
      note={note}
      error={error}
      control={(ids) => <input className={`field ${className}`} {...rest} {...ids} />}
    />
  );
}

export function TextArea({ label, note, error, className = "", ...rest }: Labelled & ComponentProps<"textarea">) {
  return (
    <Field
      label={label}
      note={note}
      error={error}
      control={(ids) => <textarea className={`field py-1.5 ${className}`} {...rest} {...ids} />}
    />
  );
}
