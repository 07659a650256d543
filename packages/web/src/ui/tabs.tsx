/** Tabs of one page. Tabs that are pages of their own are links: see the session's head. */
import { Tabs as Radix } from "radix-ui";
import type { ReactNode } from "react";

export interface Tab<T extends string> {
  readonly value: T;
  readonly text: ReactNode;
  readonly content: ReactNode;
}

export function Tabs<T extends string>(props: {
  readonly label: string;
  readonly value: T;
  readonly onChange: (value: T) => void;
  readonly tabs: readonly Tab<T>[];
}) {
  const isTab = (value: string): value is T => props.tabs.some((tab) => tab.value === value);
  return (
    <Radix.Root value={props.value} onValueChange={(value) => isTab(value) && props.onChange(value)}>
      <Radix.List className="tabs" aria-label={props.label}>
        {props.tabs.map(({ value, text }) => (
          <Radix.Trigger key={value} value={value}>
            {text}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {props.tabs.map(({ value, content }) => (
        <Radix.Content key={value} value={value}>
          {content}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}
