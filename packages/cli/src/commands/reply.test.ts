import type { SessionView } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import type { ApiClient } from "../api-client.ts";
import { sendReply } from "./reply.ts";

test.each([
  [1, [], "The agent asks 1 question; give one answer to it, or --decline."],
  [2, ["only one"], "The agent asks 2 questions; give an answer to each, or --decline."],
])("the wrong number of answers to %i question(s) is refused with what is wanted", async (count, answers, expected) => {
  const question = { id: "que_1", questions: Array.from({ length: count }, () => ({ question: "Which?" })) };
  const session = { permissions: [], questions: [question] } as unknown as SessionView;
  const api = { session: async () => session } as unknown as ApiClient;
  await expect(sendReply(api, "ses_1", "que_1", answers)).rejects.toThrow(expected);
});
