/** Reads the journal of runners before version 0.3.0, a file of JSON lines, which is migrated once. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { type Attempt, readFrame } from "./attempt-record.ts";

const Line = z.discriminatedUnion("is", [
  z.object({
    is: z.literal("accepted"),
    attemptId: z.string(),
    generation: z.number(),
    isWorkflow: z.boolean().optional(),
  }),
  z.object({ is: z.literal("begun"), attemptId: z.string(), span: z.string() }),
  z.object({ is: z.literal("step"), frame: z.string() }),
  z.object({ is: z.literal("ended"), frame: z.string() }),
  z.object({ is: z.literal("settled"), attemptId: z.string() }),
]);
type Line = z.infer<typeof Line>;

/**
 * Returns the attempts of a generation, in order; none if there is no file. Ignores a line that was cut off when its writer
 * died.
 * @throws if the file cannot be read
 */
export function readJournalLines(path: string, generation: number): Map<string, Attempt> {
  const attempts = new Map<string, Attempt>();
  for (const text of readText(path).split("\n")) {
    const line = readLine(text);
    if (line !== undefined) replay(line, attempts, generation);
  }
  return attempts;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

function replay(line: Line, attempts: Map<string, Attempt>, generation: number): void {
  switch (line.is) {
    case "accepted": {
      const steps = line.isWorkflow === true ? new Map() : undefined;
      if (line.generation === generation) attempts.set(line.attemptId, { is: "running", span: undefined, steps });
      break;
    }
    case "begun": {
      const attempt = attempts.get(line.attemptId);
      if (attempt?.is === "running") attempts.set(line.attemptId, { ...attempt, span: line.span });
      break;
    }
    case "step": {
      const frame = readFrame(line.frame);
      const attempt = frame?.type === "workflow-step" ? attempts.get(frame.attemptId) : undefined;
      if (frame?.type !== "workflow-step" || attempt?.is !== "running") break;
      const steps = new Map(attempt.steps).set(frame.state.index, frame);
      attempts.set(frame.attemptId, { ...attempt, steps });
      break;
    }
    case "ended": {
      const frame = readFrame(line.frame);
      const isEnd = frame?.type === "turn-ended" || frame?.type === "workflow-ended";
      if (isEnd && attempts.has(frame.attemptId)) attempts.set(frame.attemptId, { is: "ended", frame });
      break;
    }
    case "settled":
      if (attempts.delete(line.attemptId)) attempts.set(line.attemptId, { is: "settled" });
  }
}

function readLine(text: string): Line | undefined {
  try {
    return Line.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
