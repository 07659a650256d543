/** Where a person writes to the agent. */
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, type KeyboardEvent, type RefObject, useState } from "react";
import { newMessageId, sendMessage } from "../api/changes.ts";
import type { Schemas } from "../api/client.ts";
import { errorSentence } from "../api/problem.ts";
import { useContentIds } from "../api/use-content-ids.ts";
import { announce } from "../app/announce.ts";
import { Button, Segments } from "../ui/button.tsx";
import { Icon } from "../ui/icons.tsx";
import { Menu, MenuChoice, MenuLabel } from "../ui/menu.tsx";
import { OutsideText, Sentence } from "../ui/outside-text.tsx";
import { placeholderOf } from "./composer-words.ts";
import { useDraft } from "./use-draft.ts";

type Mode = NonNullable<Schemas["SendMessage"]["queueMode"]>;

const MODES: readonly (readonly [Mode, string])[] = [
  ["followup", "After this turn"],
  ["steer", "Steer now"],
  ["collect", "Collect"],
];

interface ComposerProps {
  readonly session: Schemas["SessionView"];
  /** The channels that there are; the first is the one that a message goes to. */
  readonly channels: readonly string[];
  readonly isBusy: boolean;
  readonly field: RefObject<HTMLTextAreaElement | null>;
  /** The message has arrived. */
  readonly onSent: () => void;
}

export function Composer({ session, channels, isBusy, field, onSent }: ComposerProps) {
  const [text, setText] = useDraft(session.id);
  const [mode, setMode] = useState<Mode>(session.queueMode);
  const [channel, setChannel] = useState<string>();
  const [model, setModel] = useState<string>();
  const target = channel ?? channels[0];
  const body = {
    content: text,
    queueMode: mode,
    ...(target !== undefined && { channel: target }),
    ...(model !== undefined && { model }),
  };
  const ids = useContentIds<typeof body>(newMessageId);
  const send = useMutation({
    mutationFn: (message: typeof body) => sendMessage(session.id, { ...message, id: ids.of(message) }),
    onSuccess: (_accepted, { content }) => {
      ids.forget();
      // What was written meanwhile stays.
      setText(field.current?.value === content ? "" : (field.current?.value ?? ""));
      announce("Sent.");
      onSent();
    },
    meta: { showsErrors: true },
  });
  const isOver = session.status === "terminated" || session.status === "terminating" || session.deletion !== undefined;
  const submit = (event?: FormEvent) => {
    event?.preventDefault();
    if (text.trim() !== "" && !send.isPending && !isOver) send.mutate(body);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
    else if (event.key === "Escape") field.current?.blur();
  };
  if (isOver) {
    return <p className="composer m2">The session has ended: it can be read, and takes no more messages.</p>;
  }
  return (
    <form className="composer" aria-label="Message" onSubmit={submit}>
      <textarea
        ref={field}
        className="field"
        aria-label="Message"
        placeholder={placeholderOf(session, isBusy, mode)}
        maxLength={200_000}
        rows={Math.min(8, Math.max(1, text.split("\n").length))}
        dir="auto"
        aria-invalid={send.isError || undefined}
        aria-describedby={send.isError ? "composer-error" : undefined}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {send.isError && (
        <p id="composer-error" className="field-error" role="alert">
          It was not sent. <Sentence text={errorSentence(send.error)} /> Your text is kept.
        </p>
      )}
      <div className="line">
        <Segments label="When" value={mode} options={MODES} onChange={setMode} />
        {channels.length > 1 && (
          <Choice label="Channel" value={target ?? ""} choices={channels} prefix="# " onChange={setChannel} />
        )}
        {session.models.length > 1 && (
          <Choice label="Model" value={model ?? session.models[0] ?? ""} choices={session.models} onChange={setModel} />
        )}
        <span className="grow" />
        <Button
          look="primary"
          type="submit"
          isBusy={send.isPending}
          hint="Ctrl ⏎"
          aria-keyshortcuts="Control+Enter"
          disabled={text.trim() === ""}
        >
          {send.isPending ? "Sending…" : send.isError ? "Send again" : "Send"}
        </Button>
      </div>
    </form>
  );
}

function Choice(props: {
  readonly label: string;
  readonly value: string;
  readonly choices: readonly string[];
  readonly prefix?: string;
  readonly onChange: (value: string) => void;
}) {
  const { label, value, choices, prefix = "", onChange } = props;
  const trigger = (
    <Button aria-label={`${label}: ${value}`} className="composer-choice">
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
    </Menu>
  );
}
