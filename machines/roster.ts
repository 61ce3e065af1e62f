/**
 * The members of a group in the order in which they joined. A change gives another roster and leaves this one as it was: it copies one
 * path of a tree (as in Bagwell's "Ideal hash trees", 2001), and each branch counts what is under it, so that neither a change nor a
 * question costs more where there are more members.
 */

/** After which ends a member is started again. */
export type MemberRestart = "permanent" | "transient" | "temporary";
/** What the group is doing with a member. */
export type MemberState = "up" | "marked" | "stopping" | "waiting" | "due" | "starting" | "ended";
/** Why a member is stopped: `sibling` ones are started again. */
export type StopReason = "sibling" | "asked" | "intensity" | "group";

/** One member, in its place. `why`: of a stop that is to come or under way. */
export type GroupMember = {
  readonly id: string;
  readonly restart: MemberRestart;
  readonly state: MemberState;
  readonly why?: StopReason | undefined;
};

/** What members are counted by. `swept`: to be stopped, or being so, for a sibling's restart; `moving`: neither up nor ended. */
export type MemberKind = MemberState | "swept" | "moving" | "living";

type Counts = Readonly<Partial<Record<MemberKind, number>>>;
/** A leaf has a value, a branch has others under it. */
type Node<T> = { readonly value?: T; readonly under: readonly (Node<T> | undefined)[]; readonly counts: Counts };
type Change<T> = { readonly before: T | undefined; readonly after: T | undefined };
/** What became of one member between two rosters; undefined where it was, or is, not there. */
export type MemberChange = { readonly before: GroupMember | undefined; readonly after: GroupMember | undefined };
type Place = { readonly id: string; readonly number: number };

const BITS = 5;
const MASK = (1 << BITS) - 1;
/** Numbers have 30 bits, so paths six steps. */
const TOP = 25;

function kindsOf({ state, why }: GroupMember): readonly MemberKind[] {
  if (state === "ended") return [state];
  if (state === "up") return [state, "living"];
  const isSwept = why === "sibling" && (state === "marked" || state === "stopping");
  return isSwept ? [state, "living", "moving", "swept"] : [state, "living", "moving"];
}

/** FNV-1a, of 30 bits. */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return hash >>> 2;
}

function at<T>(root: Node<T> | undefined, key: number): T | undefined {
  let node = root;
  for (let shift = TOP; node !== undefined && shift >= 0; shift -= BITS) node = node.under[(key >>> shift) & MASK];
  return node?.value;
}

/** @returns undefined where nothing is left */
function withChange<T>(
  node: Node<T> | undefined,
  key: number,
  change: Change<T>,
  count: (counts: Counts, change: Change<T>) => Counts,
  shift = TOP,
): Node<T> | undefined {
  const counts = count(node?.counts ?? {}, change);
  if (shift < 0) return change.after === undefined ? undefined : { value: change.after, under: [], counts };
  const under = [...(node?.under ?? [])];
  const slot = (key >>> shift) & MASK;
  under[slot] = withChange(under[slot], key, change, count, shift - BITS);
  return under.every((one) => one === undefined) ? undefined : { under, counts };
}

function recount(counts: Counts, { before, after }: Change<GroupMember>): Counts {
  const next: Partial<Record<MemberKind, number>> = { ...counts };
  for (const kind of before === undefined ? [] : kindsOf(before)) next[kind] = (next[kind] ?? 0) - 1;
  for (const kind of after === undefined ? [] : kindsOf(after)) next[kind] = (next[kind] ?? 0) + 1;
  return next;
}

const uncounted = (counts: Counts): Counts => counts;

/** Those of a kind from a number on; whole branches without one are passed over. */
function* walk(
  node: Node<GroupMember> | undefined,
  { kind, from = 0, isReversed = false }: { kind?: MemberKind; from?: number; isReversed?: boolean } = {},
  first = 0,
  shift = TOP,
): Generator<GroupMember> {
  if (node === undefined || (kind !== undefined && !node.counts[kind])) return;
  if (node.value !== undefined) yield node.value;
  const span = 2 ** Math.max(0, shift);
  for (let n = 0; n < node.under.length; n += 1) {
    const slot = isReversed ? node.under.length - 1 - n : n;
    const start = first + slot * span;
    if (start + span > from)
      yield* walk(node.under[slot], { ...(kind && { kind }), from, isReversed }, start, shift - BITS);
  }
}

/** Where two trees differ: what both share is passed over. */
function* differences<T>(before: Node<T> | undefined, after: Node<T> | undefined): Generator<Change<T>> {
  if (before === after) return;
  if (before?.value !== after?.value) yield { before: before?.value, after: after?.value };
  const width = Math.max(before?.under.length ?? 0, after?.under.length ?? 0);
  for (let slot = 0; slot < width; slot += 1) yield* differences(before?.under[slot], after?.under[slot]);
}

/** The members of a group, in the order in which they joined; nothing changes one. */
export class Roster implements Iterable<GroupMember> {
  readonly length: number;
  /** By the number of the joining. */
  readonly #members: Node<GroupMember> | undefined;
  /** By a hash of the id; those whose hashes are the same stand together. */
  readonly #places: Node<readonly Place[]> | undefined;
  readonly #next: number;

  private constructor(length = 0, members?: Node<GroupMember>, places?: Node<readonly Place[]>, next = 0) {
    this.length = length;
    this.#members = members;
    this.#places = places;
    this.#next = next;
  }

  static of(members: Iterable<GroupMember>): Roster {
    let roster = new Roster();
    for (const member of members) roster = roster.with(member);
    return roster;
  }

  #numberOf(id: string): number | undefined {
    return at(this.#places, hashOf(id))?.find((place) => place.id === id)?.number;
  }

  get(id: string): GroupMember | undefined {
    const number = this.#numberOf(id);
    return number === undefined ? undefined : at(this.#members, number);
  }

  count(kind: MemberKind): number {
    return this.#members?.counts[kind] ?? 0;
  }

  first(kind: MemberKind): GroupMember | undefined {
    for (const member of walk(this.#members, { kind })) return member;
    return undefined;
  }

  last(kind: MemberKind): GroupMember | undefined {
    for (const member of walk(this.#members, { kind, isReversed: true })) return member;
    return undefined;
  }

  /** In order; `from`: those that joined with this member or after it. */
  of(kind: MemberKind, { from }: { readonly from?: string } = {}): Iterable<GroupMember> {
    return walk(this.#members, { kind, from: from === undefined ? 0 : (this.#numberOf(from) ?? 0) });
  }

  [Symbol.iterator](): Iterator<GroupMember> {
    return walk(this.#members);
  }

  map<T>(to: (member: GroupMember) => T): T[] {
    return Array.from(this, to);
  }

  /** One that is known keeps its place, any other is the last. */
  with(member: GroupMember): Roster {
    const number = this.#numberOf(member.id);
    const before = number === undefined ? undefined : at(this.#members, number);
    const change = { before, after: member };
    if (number !== undefined) {
      const members = withChange(this.#members, number, change, recount);
      return new Roster(this.length, members, this.#places, this.#next);
    }
    const own = { id: member.id, number: this.#next };
    const places = this.#placed(member.id, (others) => [...others, own]);
    const members = withChange(this.#members, own.number, change, recount);
    return new Roster(this.length + 1, members, places, this.#next + 1);
  }

  without(id: string): Roster {
    const number = this.#numberOf(id);
    if (number === undefined) return this;
    const before = at(this.#members, number);
    const members = withChange(this.#members, number, { before, after: undefined }, recount);
    const places = this.#placed(id, (others) => others.filter((place) => place.id !== id));
    return new Roster(this.length - 1, members, places, this.#next);
  }

  #placed(id: string, change: (others: readonly Place[]) => readonly Place[]): Node<readonly Place[]> | undefined {
    const key = hashOf(id);
    const before = at(this.#places, key);
    const after = change(before ?? []);
    return withChange(this.#places, key, { before, after: after.length === 0 ? undefined : after }, uncounted);
  }

  /** The members that have come, have changed or have gone since then, in order. */
  since(before: Roster): Iterable<MemberChange> {
    return differences(before.#members, this.#members);
  }

  /** As it is given to a group at first. */
  toJSON(): readonly GroupMember[] {
    return [...this];
  }
}
