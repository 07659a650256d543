/** What a message is sent with: its channel and its model. */
import { MAX_LABEL_LENGTH } from "@valet/shared/protocol/message-limits";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Button } from "../ui/button.tsx";
import { Icon } from "../ui/icons.tsx";
import { Menu, MenuChoice, MenuItem, MenuLabel, MenuLine, type MenuTrigger } from "../ui/menu.tsx";
import { OutsideText } from "../ui/outside-text.tsx";

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly choices: readonly string[];
  readonly prefix?: string;
  readonly onChange: (value: string) => void;
  /** Below the choices. */
  readonly children?: ReactNode;
}

export function Choice({ label, value, choices, prefix = "", onChange, children }: ChoiceProps) {
  const trigger = (own: MenuTrigger) => (
    <Button aria-label={`${label}: ${value}`} className="composer-choice" {...own}>
      <span className="cut">
        {prefix}
        <OutsideText text={value} max={128} />
      </span>
      <Icon name="down" />
    </Button>
  );
  return (
    <Menu trigger={trigger}>
      <MenuLabel>{label}</MenuLabel>
      {choices.map((choice) => (
        <MenuChoice key={choice} isChosen={choice === value} onSelect={() => onChange(choice)}>
          <OutsideText text={choice} max={128} />
        </MenuChoice>
      ))}
      {children}
    </Menu>
  );
}

interface ChannelChoiceProps {
  readonly value: string;
  readonly channels: readonly string[];
  /** Whether the name of a new channel is being written. */
  readonly isNaming: boolean;
  readonly onNaming: (isNaming: boolean) => void;
  readonly onChange: (channel: string) => void;
}

/** The channel to write to: one that there is, or a new one. */
export function ChannelChoice({ value, channels, isNaming, onNaming, onChange }: ChannelChoiceProps) {
  if (isNaming) {
    return (
      <ChannelName
        onDone={(name) => {
          onNaming(false);
          if (name !== "") onChange(name);
        }}
      />
    );
  }
  return (
    <Choice label="Channel" value={value} choices={channels} prefix="# " onChange={onChange}>
      <MenuLine />
      {/* The menu gives the focus back to its button first. */}
      <MenuItem onSelect={() => setTimeout(() => onNaming(true))}>New channel…</MenuItem>
    </Choice>
  );
}

function ChannelName({ onDone }: { readonly onDone: (name: string) => void }) {
  const [name, setName] = useState("");
  const field = useRef<HTMLInputElement>(null);
  // A person asked for it.
  useEffect(() => field.current?.focus(), []);
  return (
    <input
      ref={field}
      className="field composer-channel"
      aria-label="Name of the new channel"
      placeholder="Name of the new channel"
      maxLength={MAX_LABEL_LENGTH}
      value={name}
      onChange={(event) => setName(event.target.value)}
      onBlur={() => onDone(name.trim())}
      onKeyDown={(event) => {
        if (event.key === "Escape") onDone("");
        else if (event.key === "Enter") onDone(name.trim());
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    />
  );
}
