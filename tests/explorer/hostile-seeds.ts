/** Text that wants to be more than text, wherever somebody other than Valet decides what it says. */
import { OWNER } from "./seeded.ts";
import type { MessageSeed, Seed } from "./seeds.ts";

export const HOSTILE_SESSION = "ses_hostile0000000000000000000";

export const MARKUP = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
/** What changes the direction of the text after it, and never ends that. */
export const BACKWARDS = "\u202egnp.exe\u2067";
export const NO_WIDTH = "zero\u200b\u200d\ufeff\u2060width";
/** What a terminal obeys, what no JSON text of a browser has, and what is no character by itself. */
export const CONTROLS = "\u001b[31mred\u001b]8;;javascript:alert(3)\u0007link\u0000nul\ud800alone\udc00";
export const COMBINED = `Z${"\u0301".repeat(200)}algo`;
const MEGABYTE = 1_000_000;

/** All of it in one line. */
export const HOSTILE = [MARKUP, BACKWARDS, NO_WIDTH, CONTROLS, COMBINED].join(" ");

const LINKS = [
  "[one](javascript:alert(4))",
  "[two](JaVaScRiPt&colon;alert(5))",
  "[three](data:text/html,<script>alert(6)</script>)",
  "[four](vbscript:alert(7))",
  "<javascript:alert(8)>",
  "![five](https://evil.example/five.png)",
  "![six](data:image/svg+xml,<svg onload=alert(9)>)",
  "[seven](https://user:secret@evil.example/)",
  "[eight](//evil.example/x)",
  "[nine](/sign-in)",
  "[ten](https://evil.example/x)",
  "an entity &#x202e;gnp.exe, and \u200fשלום (עולם)",
  '<a href="javascript:alert(10)">eleven</a>',
  '<iframe srcdoc="<script>alert(11)</script>"></iframe>',
  "[^1]\n\n[^1]: a footnote [twelve](javascript:alert(12))",
  "| a | b |\n|---|---|\n| <b onmouseover=alert(13)>x</b> | [t](javascript:alert(14)) |",
  "```html\n<script>alert(15)</script>\n```",
];

/** One message each for what could break the page. */
export const HOSTILE_ANSWERS = {
  text: `Text: ${HOSTILE}`,
  links: LINKS.join("\n\n"),
  word: "w".repeat(MEGABYTE),
  lines: "line\n".repeat(MEGABYTE / 50),
  nested: `${"> ".repeat(3_000)}deep`,
  brackets: "[".repeat(20_000),
  emphasis: "*a **a ".repeat(3_000),
  list: Array.from({ length: 120 }, (_, depth) => `${"  ".repeat(depth)}- item`).join("\n"),
} as const;
export type HostileAnswer = keyof typeof HOSTILE_ANSWERS;

export const hostileMessageId = (of: HostileAnswer | "tools") => `msg_hostile_${of}`;

const tool = (
  id: string,
  more: { input?: string; output?: string; title?: string; tool?: string; isError?: boolean },
) => ({
  type: "tool" as const,
  id,
  tool: more.tool ?? "bash",
  status: more.isError === true ? ("error" as const) : ("completed" as const),
  duration_ms: 1,
  ...(more.title !== undefined && { title: more.title }),
  ...(more.input !== undefined && { input: more.input }),
  ...(more.output !== undefined && { output: more.output }),
});

export function hostileSeed(nowMs: number): Seed {
  const answers = Object.entries(HOSTILE_ANSWERS).map(
    ([of, text], index): MessageSeed => ({
      id: hostileMessageId(of as HostileAnswer),
      content: `${of}: ${HOSTILE}`,
      author: HOSTILE,
      atMs: nowMs - 60_000 + index,
      parts: [{ type: "text", id: "prt_1", text }],
    }),
  );
  const tools: MessageSeed = {
    id: hostileMessageId("tools"),
    content: "w".repeat(199_000),
    channel: "c <b>\u202e",
    atMs: nowMs - 30_000,
    parts: [
      tool("prt_1", { tool: HOSTILE.slice(0, 200), title: HOSTILE, output: HOSTILE }),
      tool("prt_2", { input: JSON.stringify({ command: HOSTILE }), output: HOSTILE, isError: true }),
      tool("prt_3", { input: '{"command":', output: "o".repeat(MEGABYTE) }),
      tool("prt_4", {
        input: JSON.stringify({ __proto__: null, constructor: 1, toString: "x", questions: [{ question: 3 }] }),
      }),
      tool("prt_5", { input: "null", output: "" }),
      { type: "reasoning", id: "prt_6", text: HOSTILE },
    ],
  };
  return {
    sessions: [
      {
        id: HOSTILE_SESSION,
        ownerId: OWNER,
        title: HOSTILE.slice(0, 200),
        repoUrl: `https://example.com/${MARKUP}/${BACKWARDS}.git`,
        branch: `${MARKUP}${BACKWARDS}`,
        model: `acme/${MARKUP}`,
        messages: [...answers, tools],
        frames: [],
      },
    ],
    statements: [],
  };
}
