from herl_bench.conversation import Turn, list_messages, put_before, write_as_text

TALK = (Turn("user", "2+2?"), Turn("assistant", "5"), Turn("user", "No. Again."))


def test_messages_as_chat_templates_read_them():
    assert list_messages("2+2?") == [{"role": "user", "content": "2+2?"}]
    told = list_messages(TALK, "Be brief.")
    assert [m["role"] for m in told] == ["system", "user", "assistant", "user"]
    assert told[0]["content"] == "Be brief."


def test_what_stands_before_a_prompt_stands_before_the_first_turn():
    assert put_before("Q: ", "2+2?") == "Q: 2+2?"
    assert put_before("Q: ", TALK) == (Turn("user", "Q: 2+2?"), *TALK[1:])


def test_a_conversation_as_one_text():
    assert write_as_text("2+2?") == "2+2?"
    assert write_as_text(TALK) == "2+2?\n\nYou answered:\n\n5\n\nNo. Again."
