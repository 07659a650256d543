/** What a tool of `valet mcp` is. */
import type { z } from "zod";
import type { ApiClient } from "../api-client.ts";
import { withWholeIds } from "./whole-ids.ts";

/** What a tool found, before it is made to fit. */
export interface Answer {
  /** The text, for people and models. Further lines within an entry are another author's. */
  readonly lines: readonly string[];
  /** The same for programs; only a tool with an `output` has it. */
  readonly data?: Readonly<Record<string, unknown>>;
  /** What was left out, and how to get it. */
  readonly notes?: readonly string[];
  /** How to get what does not fit. */
  readonly more?: string;
}

/** What clients are told about a tool before they allow it (`ToolAnnotations` of the protocol). */
export interface Effects {
  readonly readOnlyHint: boolean;
  readonly destructiveHint: boolean;
  readonly idempotentHint: boolean;
  readonly openWorldHint: boolean;
}

export interface Tool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly input: z.ZodObject;
  readonly output?: z.ZodObject | undefined;
  readonly effects: Effects;
  /** @throws UserError with a sentence that says what to do; ZodError for arguments that `input` refuses */
  readonly run: (api: ApiClient, input: unknown) => Promise<Answer>;
}

interface ToolOf<I extends z.ZodObject> extends Omit<Tool, "input" | "run"> {
  readonly input: I;
  readonly run: (api: ApiClient, input: z.output<I>) => Promise<Answer>;
}

/** Returns a tool that validates its arguments and finds whole ids for them before it runs. */
export function defineTool<I extends z.ZodObject>({ run, ...tool }: ToolOf<I>): Tool {
  return {
    ...tool,
    run: async (api, input) => run(api, tool.input.parse(await withWholeIds(api, tool.input.parse(input)))),
  };
}

export const READS: Effects = {
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
};
