import { useTitle } from "../../app/use-title.ts";
import { Empty } from "../../ui/notes.tsx";

export default function InboxPage() {
  useTitle("Inbox");
  return (
    <div className="page">
      <h1 className="sr">Inbox</h1>
      <Empty title="No session yet">
        A session is an agent with its own sandbox and a clone of your repository. It sleeps when nothing happens and
        wakes with the next message.
      </Empty>
    </div>
  );
}
