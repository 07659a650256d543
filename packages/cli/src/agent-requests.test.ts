import type { SessionView } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import { requestsOf } from "./agent-requests.ts";

test("an agent's open request is shown with the command that answers it", () => {
  const askedAt = "2026-01-01T00:00:00.000Z";
  const options = [
    { label: "Hello", description: "The usual one" },
    { label: "Hi", description: "" },
  ];
  const questions = [
    { question: "Which greeting?", header: "Greeting", options },
    { question: "Why?", header: "Reason", options: [] },
  ];
  const session = {
    id: "ses_1",
    permissions: [{ id: "per_1", messageId: "msg_1", permission: "bash", detail: "ls\npwd", askedAt }],
    questions: [
      { id: "que_1", messageId: "msg_1", questions, askedAt },
      { id: "que_2", messageId: "msg_of_others", questions, askedAt },
    ],
  } as unknown as SessionView;
  expect(requestsOf(session, "msg_1")).toEqual([
    {
      id: "per_1",
      lines: [
        "The agent asks permission for bash:",
        "  ls",
        "  pwd",
        "  pnpm valet reply ses_1 per_1 once|always|reject",
      ],
    },
    {
      id: "que_1",
      lines: [
        "The agent asks: Which greeting?",
        "  - Hello: The usual one",
        "  - Hi",
        "The agent asks: Why?",
        "  pnpm valet reply ses_1 que_1 ANSWER ANSWER2",
      ],
    },
  ]);
});
