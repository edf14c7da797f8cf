"use strict";

// Tables are sorted by the column whose head is clicked, and the other way round by the next click.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if ([...table.tBodies[0].rows].every((row) => row.cells[column].classList.contains("number"))) head.classList.add("number");
    head.querySelector("button").addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      const value = (row) => {
        const cell = row.cells[column];
        if (!("order" in cell.dataset)) return cell.textContent.trim();
        return cell.dataset.order === "inf" ? Infinity : Number(cell.dataset.order);
      };
      const compare = (first, second) => {
        const [a, b] = [value(first), value(second)];
        // What has no number stays at the end, whichever way.
        if (a === Infinity || b === Infinity) return a === b ? 0 : a === Infinity ? 1 : -1;
        if (typeof a === "number" && typeof b === "number") return direction * (a - b);
        return direction * String(a).localeCompare(String(b), undefined, { numeric: true });
      };
      rows.sort(compare).forEach((row) => table.tBodies[0].append(row));
    });
  });
}

// Pictures enlarge.
const large = document.getElementById("large");
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const small = button.querySelector("img");
    const image = large.querySelector("img");
    image.src = small.src;
    image.alt = small.alt;
    image.className = small.classList.contains("plot") ? "plot" : "";
    large.querySelector("p").textContent = small.alt;
    large.showModal();
  });
}
large.addEventListener("click", (event) => {
  if (event.target === large || event.target.matches("img, .close")) large.close();
});
large.addEventListener("close", () => large.querySelector("img").removeAttribute("src"));

// Moving pictures stand still when asked to, and from the beginning for who wants less motion.
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
for (const figure of document.querySelectorAll("figure:has(.moving)")) {
  const image = figure.querySelector("img");
  const button = figure.querySelector(".pause");
  const moving = image.src;
  const toggle = () => {
    const stands = image.src !== moving;
    image.src = stands ? moving : image.dataset.still;
    button.textContent = stands ? "pause" : "play";
  };
  button.addEventListener("click", toggle);
  if (calm) toggle();
}

// Side by side: what differs alone, or everything; everything where nothing does.
for (const box of document.querySelectorAll("[data-differences]")) {
  const table = document.getElementById(box.dataset.differences);
  const filter = () => table.classList.toggle("filtered", box.checked);
  if (!table.querySelector(".differs")) {
    box.checked = false;
    box.disabled = true;
    box.nextElementSibling.textContent = "nothing differs";
  }
  filter();
  box.addEventListener("change", filter);
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      // Where a page may not write to the clipboard, the command is marked instead.
      getSelection().selectAllChildren(code);
    }
  });
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
