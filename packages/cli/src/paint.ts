/** The colours of lines on a terminal. Each function gets a line as it is shown, so no text of an agent can add one. Pure. */

/** Returns a line with colours. */
export type Paint = (line: string) => string;

const code = (number: number) => `\u001b[${number}m`;
const colour = (number: number) => (text: string) => `${code(number)}${text}${code(0)}`;
const [red, green, yellow] = [colour(31), colour(32), colour(33)];

export const unpainted: Paint = (line) => line;

const STATES: { readonly [state: string]: ((text: string) => string) | undefined } = {
  working: green,
  quiet: yellow,
  waiting_for_person: yellow,
  stuck: red,
  failed: red,
};

/** A verdict at the beginning of a line, after a session's id if there is one. */
export const paintVerdict: Paint = (line) =>
  line.replace(/^(ses_\S+ {2})?([a-z_]+)(?= )/, (whole, id = "", state: string) => {
    const colour = STATES[state];
    return colour === undefined ? whole : id + colour(state);
  });

/** A finding of a check, which begins the line. */
export const paintFinding: Paint = (line) =>
  line.replace(/^(?:ok|note|missing|FAILED)(?= )/, (state) =>
    state === "ok" ? green(state) : state === "note" ? yellow(state) : red(state),
  );

/** A line of a trace's tree: red if the span failed, yellow while it is open. */
export const paintSpan: Paint = (line) =>
  /(?:[─·█] | {2})✗ /.test(line) ? red(line) : /(?:[─·█] | {2})… /.test(line) ? yellow(line) : line;

/** A line of the list of traces. */
export const paintTrace: Paint = (line) =>
  line.replace(/\d+ errors?(?=[,)])/, red).replace(/(?<=^\S+ {2}\S+ +)open(?= )/, yellow);

/** A line of a table of turns, whose second column is the outcome. */
export const paintTurn: Paint = (line) =>
  line.replace(
    /^(\d\d-\d\d \d\d:\d\d {2})((?:error|lost)\S*(?: [a-z_]+)?)/,
    (_, time: string, outcome: string) => time + red(outcome),
  );

/** A session in the list of sessions: red if it has ended with an error. */
export const paintSession: Paint = (line) =>
  line.replace(
    /^( *(?:└─ )?ses_\S+ {2})(error|running)(?= )/,
    (_, id: string, status: string) => id + (status === "error" ? red(status) : green(status)),
  );
