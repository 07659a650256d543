/** The answers to an agent's questions while a person gives them. Pure. */
import type { Schemas } from "../api/client.ts";

type Question = Schemas["AgentQuestion"];

/** The answer to one question: the chosen options, and own words. */
export interface Draft {
  readonly chosen: readonly string[];
  readonly own: string;
}
export const EMPTY_DRAFT: Draft = { chosen: [], own: "" };

/** Returns the draft after a person chose an option, or took it back. Of a question with one answer, another option is replaced. */
export function choose(draft: Draft, { multiple = false }: Question, label: string): Draft {
  const isChosen = draft.chosen.includes(label);
  if (!multiple) return { ...draft, chosen: isChosen ? [] : [label] };
  return { ...draft, chosen: isChosen ? draft.chosen.filter((one) => one !== label) : [...draft.chosen, label] };
}

/** Returns the answers to send; `undefined` while a question has none. Own words replace the option of a question with one answer. */
export function answersOf(questions: readonly Question[], drafts: readonly Draft[]): string[][] | undefined {
  const answers = questions.map(({ multiple = false }, index) => {
    const { chosen, own } = drafts[index] ?? EMPTY_DRAFT;
    const words = own.trim();
    if (words === "") return [...chosen];
    return multiple ? [...chosen, words] : [words];
  });
  return answers.every((answer) => answer.length > 0) ? answers : undefined;
}

/** Returns whether buttons are enough: one question, one answer. */
export function isSimple(questions: readonly Question[]): boolean {
  return questions.length === 1 && questions[0]?.multiple !== true;
}
