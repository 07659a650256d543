/** Finds the reply that a scenario has for a conversation. */
import type { Conversation } from "./conversation.ts";
import type { Reply, Rule, Scenario } from "./scenario.ts";

/** A rule's reply, or why there is none. */
export type Match = { rule: string; reply: Reply } | { rule: undefined; problem: string };

function matches(rule: Rule, conversation: Conversation, attempt: number): boolean {
  const { when } = rule;
  return (
    when.agent === conversation.agent &&
    (when.userContains === undefined || conversation.lastUserText.includes(when.userContains)) &&
    (when.userMatches === undefined || when.userMatches.test(conversation.lastUserText)) &&
    (when.model === undefined || when.model === conversation.model) &&
    (when.toolResults === undefined || when.toolResults === conversation.toolResults) &&
    (when.attempt === undefined || when.attempt === attempt)
  );
}

/** Describes a request's shape without its content, for errors. */
function describe(conversation: Conversation, attempt: number): string {
  const { agent, model, rounds, toolResults, lastUserText } = conversation;
  return `agent ${agent}, model ${model}, attempt ${attempt}, ${rounds} rounds and ${toolResults} tool results in this turn, last user text of ${lastUserText.length} characters`;
}

/**
 * Returns the reply for a conversation.
 * @param attempt how often this conversation has been sent, including this time.
 */
export function findReply(scenario: Scenario, conversation: Conversation, attempt: number): Match {
  const rule = scenario.rules.find((candidate) => matches(candidate, conversation, attempt));
  const shape = describe(conversation, attempt);
  if (rule === undefined) {
    return { rule: undefined, problem: `scenario "${scenario.name}" has no rule for this request (${shape})` };
  }
  const reply = rule.turn === undefined ? rule.reply : rule.turn[conversation.rounds];
  if (reply === undefined) {
    const length = rule.turn?.length ?? 0;
    return {
      rule: undefined,
      problem: `rule "${rule.name}" of scenario "${scenario.name}" has no reply ${conversation.rounds + 1}, its turn ends after ${length} (${shape})`,
    };
  }
  return { rule: rule.name, reply };
}

/** Counts how often each conversation was sent; above `limit` conversations, forgets the least recently seen one. */
export class Attempts {
  readonly #counts = new Map<string, number>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Returns the number of this attempt, from 1. */
  next(key: string): number {
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.delete(key);
    this.#counts.set(key, count);
    const oldest = this.#counts.keys().next();
    if (this.#counts.size > this.#limit && !oldest.done) this.#counts.delete(oldest.value);
    return count;
  }
}
