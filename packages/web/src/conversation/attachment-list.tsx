import { formatBytes } from "../format/bytes.ts";
import { withKeys } from "../format/with-keys.ts";
import { IconButton } from "../ui/button.tsx";
import { Icon } from "../ui/icons.tsx";
import { OutsideText, Sentence } from "../ui/outside-text.tsx";
import type { AttachedFile } from "./attachments.ts";

interface AttachmentListProps {
  readonly files: readonly AttachedFile[];
  readonly problems: readonly string[];
  readonly onRemove: (id: string) => void;
}

/** The files that go with the next message, and why others do not. */
export function AttachmentList({ files, problems, onRemove }: AttachmentListProps) {
  return (
    <>
      {problems.length > 0 && (
        <ul className="field-error" role="alert">
          {withKeys(problems, (problem) => problem).map(({ key, item }) => (
            <li key={key}>
              <Sentence text={item} />
            </li>
          ))}
        </ul>
      )}
      {files.length > 0 && (
        <ul className="composer-files" aria-label="Attached files">
          {files.map(({ id, filename, size, isForModel }) => (
            <li key={id}>
              <Icon name="attach" className="m" />
              <OutsideText text={filename} className="cut" max={200} />
              <span className="m n">{formatBytes(size)}</span>
              {!isForModel && <span className="m2">no model reads it: it goes into the workspace</span>}
              <IconButton icon="close" label={`Remove ${filename.slice(0, 80)}`} onClick={() => onRemove(id)} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
