/** The questions of an agent to a person. */
import { z } from "zod";

/** A question of the agent to a person, and the answers that it offers. Other answers are allowed, too. */
export const AgentQuestion = z.object({
  question: z.string().max(2000),
  /** The question in a few words. */
  header: z.string().max(200),
  options: z.array(z.object({ label: z.string().max(200), description: z.string().max(500) })).max(20),
  /** Whether more than one answer may be given. */
  multiple: z.boolean().optional(),
});
export type AgentQuestion = z.infer<typeof AgentQuestion>;
/** The most questions that an agent asks at once. */
export const MAX_QUESTIONS = 10;

/** The answers to each question, in the order of the questions. */
export const QuestionAnswers = z.array(z.array(z.string().max(2000)).max(20)).max(MAX_QUESTIONS);
export type QuestionAnswers = z.infer<typeof QuestionAnswers>;
