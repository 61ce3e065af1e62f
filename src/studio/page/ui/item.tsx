/** One item of a turn: what was said, thought, called, run or changed. */
import type { Item, ShownItem } from "../conversation.ts";
import type { Place } from "../place.ts";
import { select } from "../state.ts";
import { duration } from "../words.ts";
import { LinkTo } from "./link-to.tsx";
import { Diff, Text } from "./text.tsx";

const stringOf = (value: unknown): string => (typeof value === "string" ? value : "");
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;

const jsonOf = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value, null, 1) ?? ""));

/** @param place what its link leads to; without one it has no link */
export function ItemView({ shown, place }: { readonly shown: ShownItem; readonly place?: Place }) {
  return (
    <div id={place && `item-${place.itemId}`} class="item">
      <Said shown={shown} />
      {place !== undefined && <LinkTo place={place}>#</LinkTo>}
    </div>
  );
}

function Said({ shown }: { readonly shown: ShownItem }) {
  const item = shown.item.value;
  switch (item.type) {
    case "userMessage":
      return <UserMessage item={item} />;
    case "agentMessage":
      return <Growing shown={shown} text={stringOf(item.text)} kind="answer" />;
    case "reasoning":
      return (
        <Growing shown={shown} text={[...listOf(item.summary), ...listOf(item.content)].join("\n")} kind="thought" />
      );
    case "commandExecution":
      return <Command shown={shown} />;
    case "fileChange":
      return <Changes item={item} />;
    case "contextCompaction":
      return <p class="rule">the conversation was summed up here</p>;
    default:
      return <Call item={item} />;
  }
}

function UserMessage({ item }: { readonly item: Item }) {
  return (
    <div class="said">
      {listOf(item.content).map((part, index) => {
        const text = stringOf(fieldOf(part, "text"));
        // Pictures are named and never fetched.
        const other = `[${stringOf(fieldOf(part, "type"))} ${stringOf(fieldOf(part, "path") ?? fieldOf(part, "name"))}]`;
        return <Text key={index} text={text || other} />;
      })}
    </div>
  );
}

/** While it grows, its words are one text that is added to. */
function Growing({ shown, text, kind }: { readonly shown: ShownItem; readonly text: string; readonly kind: string }) {
  const isOpen = shown.item.value.completedAtMs === null;
  return <Text text={isOpen ? text + shown.growing.value : text} kind={kind} />;
}

const tookOf = ({ durationMs, startedAtMs, completedAtMs }: Item): string => {
  if (typeof durationMs === "number") return duration(durationMs);
  return startedAtMs !== null && completedAtMs !== null ? duration(completedAtMs - startedAtMs) : "";
};

function Tool({
  item,
  title,
  state,
  children,
}: {
  readonly item: Item;
  readonly title: string;
  readonly state: string;
  readonly children?: preact.ComponentChildren;
}) {
  const status = stringOf(item.status);
  return (
    <details class={`tool ${status}`} open={status === "inProgress"}>
      <summary>
        <Text text={title} kind="mono title" />
        <span class="state">{[state, tookOf(item)].filter((part) => part !== "").join(" · ")}</span>
      </summary>
      {children}
    </details>
  );
}

function Command({ shown }: { readonly shown: ShownItem }) {
  const item = shown.item.value;
  const actions = listOf(item.commandActions).map((action) => stringOf(fieldOf(action, "command")));
  const exit = typeof item.exitCode === "number" ? ` · exit ${item.exitCode}` : "";
  const output = stringOf(item.aggregatedOutput) || shown.growing.value;
  return (
    <Tool
      item={item}
      title={`$ ${actions.length === 1 ? actions[0] : stringOf(item.command)}`}
      state={`${stringOf(item.status)}${exit}`}
    >
      <Text text={`in ${stringOf(item.cwd)}`} kind="dim" />
      {output !== "" && <Text text={output} kind="mono output" />}
    </Tool>
  );
}

function Changes({ item }: { readonly item: Item }) {
  const changes = listOf(item.changes);
  const paths = changes.map((change) => stringOf(fieldOf(change, "path")));
  return (
    <Tool item={item} title={`patch ${paths.join(", ")}`} state={stringOf(item.status)}>
      {changes.map((change, index) => (
        <div key={index}>
          <Text text={`${stringOf(fieldOf(fieldOf(change, "kind"), "type"))} ${paths[index] ?? ""}`} kind="dim" />
          <Diff diff={stringOf(fieldOf(change, "diff"))} />
        </div>
      ))}
    </Tool>
  );
}

/** A call of any tool: what it was given and what it gave. */
function Call({ item }: { readonly item: Item }) {
  const { id, type, status, tool, server, arguments: given, result, contentItems, error, receiverThreadIds } = item;
  const texts = listOf(contentItems).map((part) => stringOf(fieldOf(part, "text")));
  const gave = texts.length > 0 ? texts.join("\n") : result == null ? jsonOf(error ?? "") : jsonOf(result);
  const name = [stringOf(server), stringOf(tool) || type].filter((each) => each !== "").join(".");
  const args = given == null ? "" : typeof given === "string" ? given : JSON.stringify(given);
  const { startedAtMs: _, completedAtMs: __, ...rest } = item;
  return (
    <Tool item={item} title={`${name} ${args}`} state={stringOf(status)}>
      {listOf(receiverThreadIds).map((each) => (
        <button type="button" class="quiet" key={`${id}${each}`} onClick={() => select(stringOf(each))}>
          go to agent {stringOf(each).slice(-6)}
        </button>
      ))}
      {tool === undefined ? (
        <Text text={jsonOf(rest)} kind="mono output" />
      ) : (
        gave && <Text text={gave} kind="mono output" />
      )}
    </Tool>
  );
}
