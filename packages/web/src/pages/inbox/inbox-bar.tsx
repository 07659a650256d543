/** The search, the filters, what the patterns mean, and the way to a new session. */
import { useNavigate, useRouter } from "@tanstack/react-router";
import { type RefObject, useEffect, useState } from "react";
import type { Schemas } from "../../api/client.ts";
import { repositoryName } from "../../format/session-names.ts";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Legend } from "../../ui/kind.tsx";
import { Menu, MenuChoice, MenuLine, type MenuTrigger } from "../../ui/menu.tsx";
import { OutsideText } from "../../ui/outside-text.tsx";
import { choicesOf } from "./inbox-groups.ts";
import type { InboxSearch } from "./inbox-search.ts";

interface InboxBarProps {
  readonly search: InboxSearch;
  readonly sessions: readonly Schemas["SessionView"][];
  readonly field: RefObject<HTMLInputElement | null>;
  readonly onCreate: () => void;
}

export function InboxBar({ search, sessions, field, onCreate }: InboxBarProps) {
  const navigate = useNavigate({ from: "/" });
  // What is being written stands in the field at once, and in the URL a moment later: a letter that comes in between would be lost.
  const [written, setWritten] = useState<string>();
  const { history } = useRouter();
  // Back and forward lead to another search, and the field keeps the focus.
  useEffect(() => history.subscribe(({ action }) => action.type !== "REPLACE" && setWritten(undefined)), [history]);
  const change = (name: keyof InboxSearch, value: string | undefined) => {
    const { [name]: _, ...rest } = search;
    // Each letter of a search is no step to go back to.
    void navigate({ to: "/", search: value ? { ...rest, [name]: value } : rest, replace: true });
  };
  return (
    <search className="inbox-bar">
      <input
        ref={field}
        className="field"
        type="search"
        aria-label="Search the sessions"
        placeholder="Search title, repository, branch, person, id"
        value={written ?? search.q ?? ""}
        onChange={(event) => {
          setWritten(event.target.value);
          change("q", event.target.value);
        }}
        onBlur={() => setWritten(undefined)}
        onKeyDown={(event) =>
          event.key === "Escape" && event.currentTarget.closest("main")?.focus({ preventScroll: true })
        }
      />
      <Filter
        name="Repository"
        value={search.repository}
        choices={choicesOf(sessions, "repoUrl")}
        shown={(url) => repositoryName(url) ?? url}
        onChange={(value) => change("repository", value)}
      />
      <Filter
        name="Person"
        value={search.person}
        choices={choicesOf(sessions, "userId")}
        onChange={(value) => change("person", value)}
      />
      <Filter
        name="Model"
        value={search.model}
        choices={choicesOf(sessions, "model")}
        onChange={(value) => change("model", value)}
      />
      <span className="grow" />
      <span className="hidden wide:block">
        <Legend kinds={["model", "queue", "lost"]} words={{ model: "turn", queue: "in the queue" }} />
      </span>
      <Button look="primary" icon="add" hint="C" onClick={onCreate} aria-keyshortcuts="c">
        New session
      </Button>
    </search>
  );
}

function Filter(props: {
  readonly name: string;
  readonly value: string | undefined;
  readonly choices: readonly string[];
  readonly shown?: (value: string) => string;
  readonly onChange: (value: string | undefined) => void;
}) {
  const { name, value, choices, shown = (text) => text, onChange } = props;
  if (choices.length === 0 && value === undefined) return null;
  const button = (own: MenuTrigger) => (
    <Button aria-pressed={value !== undefined} {...own}>
      {value === undefined ? name : <OutsideText text={shown(value)} className="cut max-w-48" max={100} />}
      <Icon name="down" />
    </Button>
  );
  return (
    <Menu trigger={button}>
      <MenuChoice isChosen={value === undefined} onSelect={() => onChange(undefined)}>
        Any
      </MenuChoice>
      <MenuLine />
      {choices.map((choice) => (
        <MenuChoice key={choice} isChosen={choice === value} onSelect={() => onChange(choice)}>
          <OutsideText text={shown(choice)} max={200} />
        </MenuChoice>
      ))}
    </Menu>
  );
}
