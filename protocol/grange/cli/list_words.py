"""What the commands about allow and deny lists do and say, on both sides.

    put_on_list(files, "7", "Ada", is_allowed=True)     and the sentence for it
    take_off_lists(files, "7")
    lists_text(files, as_json=False)

Leaves the lists to `grange.allow_lists`, and where they are to each command.
"""

import json

from grange.allow_lists import AllowLists, Listed, ListFiles, Who, parse_who


def put_on_list(files: ListFiles, who_text: str, name: str, *, is_allowed: bool) -> str:
    """Allow or deny somebody, and say so. Raises what `parse_who` and `ListFiles` raise."""
    who = parse_who(who_text, of=files.of)
    (files.allow if is_allowed else files.deny)(who, name)
    return describe_change(files, who, name, is_allowed=is_allowed)


def take_off_lists(files: ListFiles, who_text: str) -> str:
    """Take somebody off both lists, and say what came of it. Raises the same."""
    who = parse_who(who_text, of=files.of)
    return describe_forgotten(who, was_listed=files.forget(who))


def lists_text(files: ListFiles, *, as_json: bool) -> str:
    """Both lists, as one line of JSON or for a person."""
    lists = files.read()
    return json.dumps(lists_json(lists)) if as_json else describe_lists(files, lists)


def lists_json(lists: AllowLists) -> dict[str, list[dict[str, object]]]:
    """Both lists, for --json."""
    return {"allowed": [_json(one) for one in lists.allowed], "denied": [_json(one) for one in lists.denied]}


def describe_lists(files: ListFiles, lists: AllowLists) -> str:
    """Both lists, and what they mean for everybody else."""
    if not lists.allowed and not lists.denied:
        return f"Nobody is on a list: all {files.of} are welcome."
    lines: list[str] = []
    for word, path, listed in (
        ("Allowed", files.allow_path, lists.allowed),
        ("Denied", files.deny_path, lists.denied),
    ):
        if listed:
            lines += [f"{word}, in {path}:", *(f"  {_line(one)}" for one in listed)]
    others = "No other" if lists.allowed else "All other"
    lines.append(f"{others} {files.of} are welcome.")
    return "\n".join(lines)


def describe_change(files: ListFiles, who: Who, name: str, *, is_allowed: bool) -> str:
    """What was just done."""
    listed = Listed(who=who, name=name)
    if is_allowed:
        return f"Allowed {listed}. Only {files.of} on the allow list are welcome now."
    return f"Denied {listed}."


def describe_forgotten(who: Who, *, was_listed: bool) -> str:
    """What came of taking somebody off the lists."""
    return f"{Listed(who=who)} is on no list now." if was_listed else f"{Listed(who=who)} was on no list."


def _json(listed: Listed) -> dict[str, object]:
    key = "farmer" if isinstance(listed.who, int) else "address"
    return {key: listed.who, "name": listed.name}


def _line(listed: Listed) -> str:
    who = f"farmer {listed.who}" if isinstance(listed.who, int) else str(listed.who)
    return f"{who}  {listed.name}".rstrip()
