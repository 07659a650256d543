/** What a session's agent asks of a person, as lines of text, with the command that answers it. */
import type { PermissionView, QuestionView, SessionView } from "@valet/shared/protocol/session-view";

export interface RequestLines {
  readonly id: string;
  readonly lines: readonly string[];
}

/** Returns the open requests that belong to one message or workflow. */
export function requestsOf({ id, permissions, questions }: SessionView, workId: string): RequestLines[] {
  const isIts = ({ messageId }: { readonly messageId: string }) => messageId === workId;
  const command = (requestId: string, answer: string) => `  pnpm valet reply ${id} ${requestId} ${answer}`;
  return [
    ...permissions.filter(isIts).map((asked) => {
      return { id: asked.id, lines: [...permissionLines(asked), command(asked.id, "once|always|reject")] };
    }),
    ...questions.filter(isIts).map((asked) => {
      const answers = asked.questions.map((_question, index) => `ANSWER${index === 0 ? "" : index + 1}`).join(" ");
      return { id: asked.id, lines: [...questionLines(asked), command(asked.id, answers)] };
    }),
  ];
}

function permissionLines({ permission, detail }: PermissionView): string[] {
  return [`The agent asks permission for ${permission}:`, ...detail.split("\n").map((line) => `  ${line}`)];
}

function questionLines({ questions }: QuestionView): string[] {
  return questions.flatMap(({ question, options }) => [
    `The agent asks: ${question}`,
    ...options.map(({ label, description }) => `  - ${label}${description === "" ? "" : `: ${description}`}`),
  ]);
}
