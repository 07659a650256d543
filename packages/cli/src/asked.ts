/** What a session's agent asks of a person, as lines to read, with the command that answers it. */
import type { PermissionView, QuestionView, SessionView } from "@valet/shared/protocol/session-view";

export interface AskedLines {
  readonly id: string;
  readonly lines: readonly string[];
}

/** What is asked for the sake of a message or a workflow. */
export function askedFor({ id, permissions, questions }: SessionView, workId: string): AskedLines[] {
  const isIts = ({ messageId }: { readonly messageId: string }) => messageId === workId;
  const command = (requestId: string, answer: string) => `  pnpm valet reply ${id} ${requestId} ${answer}`;
  return [
    ...permissions.filter(isIts).map((asked) => {
      return { id: asked.id, lines: [...leaveLines(asked), command(asked.id, "once|always|reject")] };
    }),
    ...questions.filter(isIts).map((asked) => {
      const answers = asked.questions.map((_question, index) => `ANSWER${index === 0 ? "" : index + 1}`).join(" ");
      return { id: asked.id, lines: [...questionLines(asked), command(asked.id, answers)] };
    }),
  ];
}

function leaveLines({ permission, detail }: PermissionView): string[] {
  return [`The agent asks leave for ${permission}:`, ...detail.split("\n").map((line) => `  ${line}`)];
}

function questionLines({ questions }: QuestionView): string[] {
  return questions.flatMap(({ question, options }) => [
    `The agent asks: ${question}`,
    ...options.map(({ label, description }) => `  - ${label}${description === "" ? "" : `: ${description}`}`),
  ]);
}
