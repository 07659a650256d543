/**
 * Makes control characters in text of agents, models and commands visible: a terminal would interpret them, and a page would hide them.
 * Pure.
 */

/**
 * Control characters other than tab and line feed, and those that change the direction of text. They can
 * hide or change the text around them, for example a command that a person is asked to allow.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be seen
const ORDERS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The pictures of U+0000 and the following characters start at U+2400. */
const FIRST_PICTURE = 0x2400;
const PICTURE_OF_DELETE = "\u2421";
const NO_PICTURE = "\ufffd";

/** Returns the text with a visible picture in place of each control character: `␛[31m`. CRLF becomes a line feed. */
export function visibleText(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(ORDERS, (order) => {
    if (order === "\u007f") return PICTURE_OF_DELETE;
    return order < " " ? String.fromCodePoint(FIRST_PICTURE + order.charCodeAt(0)) : NO_PICTURE;
  });
}
