/**
 * The scenario format: a scripted model's answers to requests.
 *
 * A scenario is a list of rules; the first rule whose conditions all hold answers. A rule has either one `reply`, a
 * list of steps that is played whenever the rule matches, or a `turn`, a list of replies of which the nth is played
 * once the agent has made n - 1 rounds of tool calls since the last user message. Steps are played in order. See
 * `scenarios/` for examples and the README for every field.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";

const milliseconds = z.int().min(0).max(600_000);
const tokens = z.int().min(0);

const stepSchemas = {
  text: z.strictObject({ text: z.string().min(1), chunkMs: milliseconds.optional() }),
  reasoning: z.strictObject({ reasoning: z.string().min(1), chunkMs: milliseconds.optional() }),
  tool: z.strictObject({
    tool: z.string().min(1),
    /** The call's id; generated if omitted. Some servers send an empty one. */
    id: z.string().optional(),
    /** An object is sent as JSON; a string is sent unchanged, so that a model's broken JSON can be played too. */
    arguments: z.union([z.record(z.string(), z.json()), z.string()]).default({}),
    chunkMs: milliseconds.optional(),
  }),
  usage: z.strictObject({
    /** `input` includes the cached tokens and `output` the reasoning tokens, as in the providers' own counts. */
    usage: z
      .strictObject({
        input: tokens,
        output: tokens,
        cached: tokens.default(0),
        reasoning: tokens.default(0),
      })
      .refine((usage) => usage.cached <= usage.input, { error: "more tokens than input", path: ["cached"] })
      .refine((usage) => usage.reasoning <= usage.output, { error: "more tokens than output", path: ["reasoning"] }),
  }),
  delayMs: z.strictObject({ delayMs: milliseconds }),
  /** Waits until the program that started the server releases what has this name. */
  hold: z.strictObject({ hold: z.string().min(1) }),
  /** Sends comments, which only keep the connection open: for a time, or until the client disconnects. */
  ping: z.strictObject({
    ping: z.strictObject({ everyMs: z.int().min(1).max(600_000), forMs: milliseconds.optional() }),
  }),
  /** Sent unchanged, to play providers whose counts are partial or odd. */
  rawUsage: z.strictObject({ rawUsage: z.record(z.string(), z.json()) }),
  /** One of the providers' finish reasons, any other text, or `none` for a stream without a finish reason. */
  finish: z.strictObject({ finish: z.string().min(1) }),
  /** Answers 200 with something else than a completion, for example a login page. */
  page: z.strictObject({
    page: z.strictObject({ contentType: z.string().default("text/html; charset=utf-8"), body: z.string() }),
  }),
  error: z.strictObject({
    error: z.strictObject({
      status: z.int().min(400).max(599),
      message: z.string().optional(),
      headers: z.record(z.string(), z.coerce.string()).default({}),
      /** Replaces the OpenAI-shaped error body; a string is sent unchanged. */
      body: z.json().optional(),
    }),
  }),
} as const;

type StepKind = keyof typeof stepSchemas;

/** One action of the model. `cut` destroys the connection; `hang` waits until the client disconnects. */
export type Step = { [K in StepKind]: z.output<(typeof stepSchemas)[K]> }[StepKind] | "cut" | "hang";

const stepKinds = Object.keys(stepSchemas) as StepKind[];
const stepHint = `a step is one of ${stepKinds.join(", ")}, or the bare word cut or hang`;

/**
 * Chooses the step's schema by its key, so that an error names the field instead of "no member of the union matched".
 */
const stepSchema = z.unknown().transform((value, context): Step => {
  if (value === "cut" || value === "hang") return value;
  const kind = stepKinds.find((key) => typeof value === "object" && value !== null && key in value);
  if (kind === undefined) {
    context.addIssue({ code: "custom", message: stepHint });
    return z.NEVER;
  }
  const result = stepSchemas[kind].safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    context.addIssue({ code: "custom", message: issue.message, path: issue.path });
  }
  return z.NEVER;
});

const isEnd = (step: Step) =>
  step === "cut" ||
  step === "hang" ||
  "error" in step ||
  "page" in step ||
  ("ping" in step && step.ping.forMs === undefined);
const isContent = (step: Step) => typeof step === "object" && ("text" in step || "reasoning" in step || "tool" in step);

const replySchema = z
  .array(stepSchema)
  .min(1)
  .check((context) => {
    context.value.forEach((step, index) => {
      const issue = (message: string) =>
        context.issues.push({ code: "custom", input: step, path: [index], message, continue: true });
      if (isEnd(step) && index < context.value.length - 1)
        issue("nothing can follow error, cut, hang or an endless ping");
      if (
        typeof step === "object" &&
        ("error" in step || "page" in step) &&
        context.value.slice(0, index).some(isContent)
      ) {
        issue("an HTTP error cannot follow content; use cut for a reply that is interrupted");
      }
    });
  });

/** The steps of one response. */
export type Reply = z.output<typeof replySchema>;

const regularExpression = z.string().transform((source, context) => {
  try {
    return new RegExp(source, "u");
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : "not a regular expression" });
    return z.NEVER;
  }
});

const conditionsSchema = z.strictObject({
  /**
   * Who sends the request. By default a rule answers only `worker`, since a title call repeats the user's text and
   * would match too.
   */
  agent: z.enum(["worker", "title", "compaction"]).default("worker"),
  userContains: z.string().min(1).optional(),
  userMatches: regularExpression.optional(),
  model: z.string().min(1).optional(),
  /** Tool results since the last user message. */
  toolResults: z.int().min(0).optional(),
  /** The nth time that this conversation was sent: 2 is the client's first retry. */
  attempt: z.int().min(1).optional(),
});

const ruleSchema = z
  .strictObject({
    name: z.string().min(1),
    when: conditionsSchema.prefault({}),
    reply: replySchema.optional(),
    turn: z.array(replySchema).min(1).optional(),
  })
  .refine((rule) => (rule.reply === undefined) !== (rule.turn === undefined), {
    error: "a rule has either reply or turn",
  });

/** One rule: its conditions and its answer. */
export type Rule = z.output<typeof ruleSchema>;

const scenarioSchema = z.strictObject({
  name: z.string().min(1).optional(),
  /** The model ids that `GET /v1/models` returns. */
  models: z.array(z.string().min(1)).min(1).default(["scripted-1"]),
  rules: z.array(ruleSchema).min(1),
});

/** A validated scenario. */
export interface Scenario {
  name: string;
  models: string[];
  rules: Rule[];
}

/** A scenario is invalid. The message names its file and, one per line, each location that is wrong. */
export class ScenarioError extends Error {
  override name = "ScenarioError";
}

/** Formats a path: `["rules", 0, "turn", 1]` becomes `rules[0].turn[1]`. */
function formatPath(path: PropertyKey[]): string {
  const text = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return text.replace(/^\./u, "") || "(whole file)";
}

/**
 * Validates a scenario written in YAML or JSON (a subset of YAML).
 * @param file names the source in errors, and the scenario if it has no name of its own.
 * @throws ScenarioError when the text is not YAML or does not match the format.
 */
export function parseScenario(text: string, file: string): Scenario {
  let raw: unknown;
  try {
    raw = parseYaml(text);
  } catch (error) {
    throw new ScenarioError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const result = scenarioSchema.safeParse(raw);
  if (!result.success) {
    const lines = result.error.issues.map((issue) => `${file}: ${formatPath(issue.path)}: ${issue.message}`);
    throw new ScenarioError(lines.join("\n"));
  }
  return { ...result.data, name: result.data.name ?? basename(file).replace(/\.(ya?ml|json)$/u, "") };
}

/**
 * Reads and validates a scenario file.
 * @throws ScenarioError when the file cannot be read or does not match the format.
 */
export async function loadScenario(file: string): Promise<Scenario> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new ScenarioError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return parseScenario(text, file);
}
