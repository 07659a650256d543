/** Which message the answer is about, and the way to another one. */
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { Schemas } from "../../api/client.ts";
import { messageQuery } from "../../api/messages.ts";
import { recentMessagesQuery } from "../../api/recent-messages.ts";
import { firstLine } from "../../format/first-line.ts";
import { Time } from "../../ui/age.tsx";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Menu, MenuChoice, MenuLabel } from "../../ui/menu.tsx";
import { OutsideText } from "../../ui/outside-text.tsx";

interface ChooserProps {
  readonly sessionId: string;
  readonly messageId: string;
}

/** How much of a message's first line says which one it is. */
const MAX_TITLE = 120;

export function MessageChooser({ sessionId, messageId }: ChooserProps) {
  const { data: messages = [] } = useQuery(recentMessagesQuery(sessionId));
  const navigate = useNavigate();
  const recent = messages.find(({ id }) => id === messageId);
  const { data: older } = useQuery({ ...messageQuery(sessionId, messageId), enabled: recent === undefined });
  const chosen = recent ?? older ?? undefined;
  return (
    <div className="why-which small">
      <span className="cut">
        {chosen === undefined ? (
          <>
            Message <OutsideText text={messageId} className="mono" />
          </>
        ) : (
          <>
            “<OutsideText text={titleOf(chosen)} max={MAX_TITLE} />”
          </>
        )}
      </span>
      {chosen !== undefined && (
        <span className="m cut">
          # <OutsideText text={chosen.channel} max={60} />
          {chosen.userId !== undefined && (
            <>
              {" "}
              · <OutsideText text={chosen.author?.name ?? chosen.userId} max={60} />
            </>
          )}{" "}
          · since <Time at={chosen.acceptedAt} />
        </span>
      )}
      <Menu
        trigger={(own) => (
          <Button look="quiet" {...own}>
            Another message <Icon name="down" />
          </Button>
        )}
      >
        <MenuLabel>The newest messages</MenuLabel>
        {messages.map((message) => (
          <MenuChoice
            key={message.id}
            isChosen={message.id === messageId}
            onSelect={() =>
              void navigate({
                to: "/sessions/$sessionId/messages/$messageId/why",
                params: { sessionId, messageId: message.id },
              })
            }
          >
            <OutsideText text={titleOf(message)} max={60} />
            <span className="m small">
              {" "}
              {message.outcome ?? message.status} · <Time at={message.acceptedAt} />
            </span>
          </MenuChoice>
        ))}
      </Menu>
    </div>
  );
}

function titleOf({ content }: Schemas["MessageView"]): string {
  return firstLine(content) || "(no text)";
}
