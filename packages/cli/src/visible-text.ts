/** Text of agents, models and commands for a terminal, which must not take it for orders. Pure. */

/**
 * Control characters, but for tab and line feed, and those that turn the direction of text: with them what is printed can hide
 * or change what stands around it, the command that a person is asked to allow for one.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
const ORDERS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** U+2400 and what follows are pictures of U+0000 and what follows. */
const FIRST_PICTURE = 0x2400;
const PICTURE_OF_DELETE = "\u2421";
const NO_PICTURE = "\ufffd";

/** The text with a picture in place of each order to the terminal: `␛[31m`. The ends of DOS lines become line feeds. */
export function visibleText(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(ORDERS, (order) => {
    if (order === "\u007f") return PICTURE_OF_DELETE;
    return order < " " ? String.fromCodePoint(FIRST_PICTURE + order.charCodeAt(0)) : NO_PICTURE;
  });
}
