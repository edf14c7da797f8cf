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

// What is wider than the page says so, and fades where it goes on.
for (const box of document.querySelectorAll(".scroll, nav")) {
  const look = () => {
    const hidden = box.scrollWidth - box.clientWidth;
    box.classList.toggle("more-left", box.scrollLeft > 1);
    box.classList.toggle("more-right", hidden - box.scrollLeft > 1);
    if (box.previousElementSibling.matches(".sideways")) box.previousElementSibling.hidden = hidden <= 1;
  };
  box.addEventListener("scroll", look, { passive: true });
  const observer = new ResizeObserver(look);
  observer.observe(box);
  if (box.querySelector("table")) observer.observe(box.querySelector("table"));
}

// Pictures enlarge: to the size of the screen first, further by a second tap, which stays where it was.
const large = document.getElementById("large");
const view = large.querySelector(".view");
const zoom = large.querySelector(".zoom");
let natural = [0, 0];
const fitted = () => Math.min(2 * natural[0], view.clientWidth, (view.clientHeight / natural[1]) * natural[0]);
const show = (larger) => {
  zoom.classList.toggle("larger", larger);
  // Without a picture in it, the view is as large as it can be.
  const image = zoom.querySelector("img");
  image.style.width = "0";
  const width = fitted();
  image.style.width = `${larger ? Math.max(natural[0], 2 * width) : width}px`;
};
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const small = button.querySelector("img");
    const image = large.querySelector("img");
    image.src = small.src;
    image.alt = small.alt;
    image.className = small.classList.contains("plot") ? "plot" : "";
    natural = [small.naturalWidth, small.naturalHeight];
    large.querySelector("p").textContent = small.alt;
    large.showModal();
    show(false);
  });
}
zoom.addEventListener("click", (event) => {
  const box = zoom.getBoundingClientRect();
  // A key has no place, so it means the middle.
  const [x, y] = event.detail ? [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height] : [0.5, 0.5];
  show(!zoom.classList.contains("larger"));
  view.scrollLeft = x * zoom.offsetWidth - view.clientWidth / 2;
  view.scrollTop = y * zoom.offsetHeight - view.clientHeight / 2;
});
addEventListener("resize", () => large.open && show(zoom.classList.contains("larger")));
large.addEventListener("click", (event) => {
  if (event.target === large || event.target.matches(".view, .close")) large.close();
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
