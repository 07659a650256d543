/** Buttons. `Link` of the router takes the same classes: {@link buttonClass}. */
import type { ComponentProps, ReactNode } from "react";
import { Icon, type IconName } from "./icons.tsx";
import { Kbd } from "./kbd.tsx";

type ButtonLook = "normal" | "primary" | "quiet";

/** Returns the classes of a button, for links that look like one. */
export function buttonClass(look: ButtonLook = "normal", more = ""): string {
  return `btn${look === "normal" ? "" : ` ${look}`}${more === "" ? "" : ` ${more}`}`;
}

interface ButtonProps extends ComponentProps<"button"> {
  readonly look?: ButtonLook;
  readonly icon?: IconName;
  /** The key that does the same, shown beside the word where there is a keyboard. */
  readonly hint?: string;
  /** It is being done: the button keeps the focus and does nothing. */
  readonly isBusy?: boolean;
}

export function Button({ look, icon, hint, isBusy = false, className, children, onClick, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      className={buttonClass(look, className)}
      aria-busy={isBusy || undefined}
      aria-disabled={isBusy || undefined}
      onClick={(event) => {
        if (isBusy) event.preventDefault();
        else onClick?.(event);
      }}
      {...rest}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children}
      {hint !== undefined && <Kbd keys={hint} />}
    </button>
  );
}

interface IconButtonProps extends Omit<ButtonProps, "children" | "icon"> {
  readonly icon: IconName;
  /** What it does: its name for everybody, in a tooltip for those who see: `tip-layer.tsx`. */
  readonly label: string;
}

export function IconButton({ icon, label, look = "quiet", className = "", ...rest }: IconButtonProps) {
  return <Button look={look} icon={icon} aria-label={label} data-tip={label} className={`sq ${className}`} {...rest} />;
}

/** A row of buttons of which one is chosen. */
export function Segments<T extends string>(props: {
  readonly label: string;
  readonly value: T;
  readonly options: readonly (readonly [value: T, text: ReactNode])[];
  readonly onChange: (value: T) => void;
}) {
  return (
    <fieldset className="seg" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.onChange(value)}>
          {text}
        </button>
      ))}
    </fieldset>
  );
}
