/** The keys of the inbox: they move the focus from row to row, and press the buttons of the row that has it. */
import type { Action } from "../../app/actions.ts";

const GROUP = "Inbox";
/** The button of a row that aborts its turn. */
const ABORT = '[data-action="abort"]';

interface InboxKeys {
  readonly list: () => HTMLElement | null;
  readonly search: () => HTMLInputElement | null;
  readonly create: () => void;
}

/** Returns the actions of the inbox. */
export function inboxActions({ list, search, create }: InboxKeys): Action[] {
  const links = (which: string) => [...(list()?.querySelectorAll<HTMLElement>(`${which} [data-row-link]`) ?? [])];
  const rowWithFocus = () => document.activeElement?.closest<HTMLElement>("[data-session]") ?? null;
  const move = (which: string, by: 1 | -1) => {
    const all = links(which);
    const link = rowWithFocus()?.querySelector<HTMLElement>("[data-row-link]");
    const here = link === null || link === undefined ? -1 : all.indexOf(link);
    const next = here < 0 ? (by === 1 ? all[0] : all.at(-1)) : all[here + by];
    if (next === undefined) return false;
    next.focus();
    next.closest("[data-session]")?.scrollIntoView({ block: "nearest" });
    return true;
  };
  const press = (selector: string) => {
    const button = rowWithFocus()?.querySelector<HTMLElement>(selector);
    button?.click();
    return button !== null && button !== undefined;
  };
  return [
    { label: "New session", group: GROUP, keys: "c", run: create },
    {
      label: "Search the sessions",
      group: GROUP,
      keys: "/",
      run: () => {
        search()?.focus();
        search()?.select();
      },
    },
    { label: "Next that needs you", group: GROUP, keys: "j", isKeyOnly: true, run: () => move(".is-needs", 1) },
    { label: "Previous that needs you", group: GROUP, keys: "k", isKeyOnly: true, run: () => move(".is-needs", -1) },
    { label: "Next session", group: GROUP, keys: "ArrowDown", isKeyOnly: true, run: () => move("", 1) },
    { label: "Previous session", group: GROUP, keys: "ArrowUp", isKeyOnly: true, run: () => move("", -1) },
    {
      label: "Give the answer with this number",
      group: GROUP,
      keys: "1 2 3 4 5 6 7 8 9",
      isKeyOnly: true,
      run: (key) => press(`[data-answer="${key}"]`),
    },
    { label: "Write an answer", group: GROUP, keys: "r", isKeyOnly: true, run: () => press('[data-answer="own"]') },
    {
      label: "Abort the turn",
      group: GROUP,
      keys: "a",
      asksTwice: true,
      applies: () => rowWithFocus()?.querySelector(ABORT) != null,
      isKeyOnly: true,
      run: () => press(ABORT),
    },
  ];
}
