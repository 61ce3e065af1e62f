/** What agents are called, so that people can tell them apart. */
import { LRUCache } from "lru-cache";

/** Names of rivers: short, easy to say, and nobody's. */
const NAMES = `
  Adige Aare Alster Amur Arno Avon Brenta Cam Clyde Danube Dart Dee Dnieper Don Doubs Douro Drava Ebro Elbe Ems Exe Fal
  Forth Gambia Ganges Garonne Glomma Havel Hudson Indus Inn Isar Isere Jordan Jumna Kama Klamath Kolyma Kwando Lech Lena
  Liffey Loire Lot Main Maritsa Mekong Mersey Meuse Minho Moselle Narva Neckar Neva Niger Nile Oder Ob Ohio Oise Orinoco
  Orne Ouse Parana Pechora Po Potomac Prut Rhine Rhone Ruhr Saale Saar Sava Scheldt Segura Seine Severn Shannon Spree
  Tagus Tay Tees Thames Tiber Tigris Tisza Trave Trent Tweed Tyne Ural Vardar Vilnia Vistula Volga Volta Vltava Warta
  Weser Yukon Zambezi Zaire
`
  .trim()
  .split(/\s+/);

/** How many trees of agents have their names remembered. */
const REMEMBERED_TREES = 1_000;

type Used = { lap: number; readonly names: Set<string> };

/** In one tree no two agents have the same name, closed ones included, as long as the manager lives. */
export class Nicknames {
  readonly #used = new LRUCache<string, Used>({ max: REMEMBERED_TREES });
  readonly #chance: () => number;

  /** @param chance a number from 0 up to 1 */
  constructor(chance: () => number = Math.random) {
    this.#chance = chance;
  }

  /** A name that the tree has not given yet. When all are used up they come again, as the 2nd, the 3rd and so on. */
  next(tree: string): string {
    const used = this.#of(tree);
    for (;;) {
      const free = NAMES.map((name) => inLap(name, used.lap)).filter((name) => !used.names.has(name));
      const name = free[Math.floor(this.#chance() * free.length)];
      if (name !== undefined) {
        used.names.add(name);
        return name;
      }
      used.lap += 1;
    }
  }

  /** An agent of an earlier life has come back. */
  note(tree: string, name: string): void {
    this.#of(tree).names.add(name);
  }

  #of(tree: string): Used {
    const found = this.#used.get(tree);
    if (found !== undefined) return found;
    const made = { lap: 1, names: new Set<string>() };
    this.#used.set(tree, made);
    return made;
  }
}

const inLap = (name: string, lap: number): string => (lap === 1 ? name : `${name} the ${ordinal(lap)}`);

function ordinal(n: number): string {
  const isTeen = n % 100 >= 11 && n % 100 <= 13;
  return `${n}${isTeen ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th")}`;
}
