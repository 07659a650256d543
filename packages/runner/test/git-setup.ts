import { join } from "node:path";
import type { ReadableSpan } from "@valet/shared/tracing";
import { attributesToObject } from "@valet/shared/tracing";
import { type GitSetupOptions, setUpRepository } from "../src/git/git-setup.ts";
import { RepositoryProgress } from "../src/git/repository-progress.ts";
import { createTracing } from "../src/spans/tracing.ts";
import { temporaryFolder } from "./folder.ts";
import { CERTIFICATE } from "./git-server.ts";

interface SetUpOptions
  extends Partial<Omit<GitSetupOptions, "tracer" | "parent" | "progress" | "onProblem" | "onWarning">> {
  /** The runner's state folder; a new one by default. */
  readonly state?: string;
  readonly generation?: number;
}

/** Sets up a repository, by default in a new workspace. */
export async function setUp(repo: GitSetupOptions["repo"], options: SetUpOptions = {}) {
  const spans: ReadableSpan[] = [];
  const processor = { onStart: () => {}, onEnd: (span: ReadableSpan) => void spans.push(span) };
  const { base: tracer } = createTracing(processor, { sessionId: "ses_1", generation: 1 });
  const parent = tracer.startSpan("valet.runner.bootstrap");
  const { state = temporaryFolder(), generation = 1, ...rest } = options;
  const workspace = options.workspace ?? join(temporaryFolder(), "workspace");
  const problems: string[] = [];
  const warnings: string[] = [];
  const result = await setUpRepository({
    tracer,
    parent,
    workspace,
    repo,
    allowFile: true,
    env: { PATH: process.env.PATH, HOME: temporaryFolder(), GIT_SSL_CAINFO: CERTIFICATE },
    timeoutMs: 20_000,
    signal: new AbortController().signal,
    progress: new RepositoryProgress(state, generation),
    isRestored: false,
    onProblem: (problem) => problems.push(problem),
    onWarning: (warning) => warnings.push(warning),
    ...rest,
  });
  const find = (name: string) => spans.find((span) => span.name === name);
  const shown = spans.map(({ name, attributes }) => {
    const { "valet.outcome": outcome, ...why } = attributesToObject([...attributes]);
    const errorType = why["error.type"] ?? why["valet.outcome.reason"];
    return errorType === undefined ? [name, outcome] : [name, outcome, errorType];
  });
  return { result, spans, find, shown, workspace, state, parent, problems, warnings };
}
