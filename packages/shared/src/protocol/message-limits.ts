/** What a message may have at most. Without the schemas' library, so that the page can say it before it sends. */

/** Of a message's text, in UTF-16 units. */
export const MAX_CONTENT_LENGTH = 200_000;
/** Of names that the sender chooses, such as a channel's, in UTF-16 units. */
export const MAX_LABEL_LENGTH = 128;
/** Of the JSON of text and attachments together: they must fit into one frame to the runner. */
export const MAX_MESSAGE_BYTES = 400 * 1024;
/** The number of files; and of each, the lengths of its fields in UTF-16 units. */
export const ATTACHMENT_LIMITS = { files: 20, filename: 255, mediaType: 127, url: 400_000 } as const;

/** Returns how many bytes of a frame a message takes, or another text with what belongs to it. */
export function messageBytes(text: string, more: readonly unknown[]): number {
  return new TextEncoder().encode(JSON.stringify([text, more])).length;
}
