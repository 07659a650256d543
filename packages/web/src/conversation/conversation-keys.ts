/** The keys of the conversation. */
import type { Action } from "../app/actions.ts";
import type { RowListHandle } from "./row-list.tsx";

interface Reach {
  readonly field: () => HTMLTextAreaElement | null;
  readonly list: () => RowListHandle | null;
  /** Opens the trace of the selected message, or of the newest; `undefined` if there is none, or no page for it. */
  readonly trace: () => (() => void) | undefined;
  /** The id of the first open request. */
  readonly request: () => string | undefined;
}

export function conversationActions({ field, list, trace, request }: Reach): Action[] {
  const press = (answer: string) => {
    const id = request();
    if (id === undefined) return false;
    const button = answerButton(id, answer);
    if (button !== null) {
      button.click();
      return true;
    }
    // A request out of view is shown first: nobody answers what they do not see.
    list()?.show(`${id} asked`);
    return true;
  };
  return [
    {
      label: "Write an answer, or a message",
      group: "Session",
      keys: "r",
      run: () => {
        if (hasOwnAnswer(request())) press("own");
        else field()?.focus();
      },
    },
    {
      label: "Write a message",
      group: "Session",
      keys: "m",
      run: () => {
        field()?.focus();
      },
    },
    {
      label: "Open the trace",
      group: "Session",
      keys: "t",
      applies: () => trace() !== undefined,
      run: () => trace()?.(),
    },
    {
      label: "Give an answer by its number",
      group: "Session",
      keys: "1 2 3 4 5 6 7 8 9",
      isKeyOnly: true,
      applies: () => request() !== undefined,
      run: (key) => (key === undefined ? false : press(key)),
    },
    { label: "Go to the end of the conversation", group: "Session", keys: "End", run: () => list()?.toEnd() },
    { label: "Go to its start", group: "Session", keys: "Home", run: () => list()?.toStart() },
  ];
}

function answerButton(requestId: string, answer: string): HTMLElement | null {
  return document.querySelector<HTMLElement>(`[data-request="${CSS.escape(requestId)}"] [data-answer="${answer}"]`);
}

function hasOwnAnswer(requestId: string | undefined): boolean {
  return requestId !== undefined && answerButton(requestId, "own") !== null;
}
