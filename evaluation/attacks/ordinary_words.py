"""Sentences of ordinary chat by language, written for this project: what nobody would block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SENTENCES: Mapping[str, Sequence[str]] = {
    "en": (
        "See you at lunch tomorrow.",
        "Mum says hi to everyone.",
        "I was late because the bus broke down again.",
        "Did you sleep well last night?",
        "The kids loved the film, they are still talking about it.",
        "Ok, I will be home around seven.",
        "Sorry, I missed your message this morning.",
        "Let me know when you get there safely.",
        "The soup turned out better than last week.",
        "Haha yes, that was so funny.",
    ),
    "de": (
        "Bis morgen beim Mittagessen.",
        "Mama lässt alle grüßen.",
        "Der Bus hatte schon wieder Verspätung.",
        "Hast du gut geschlafen?",
        "Ich bin gegen sieben zu Hause.",
        "Sag Bescheid, wenn du angekommen bist.",
        "Die Suppe ist diesmal besser geworden.",
        "Haha ja, das war lustig.",
    ),
    "fr": (
        "À demain midi.",
        "Maman embrasse tout le monde.",
        "Le bus était encore en retard ce matin.",
        "Tu as bien dormi ?",
        "Je serai à la maison vers sept heures.",
        "Préviens-moi quand tu es arrivé.",
        "La soupe était meilleure que la dernière fois.",
        "Haha oui, c'était drôle.",
    ),
    "tr": (
        "Yarın öğle yemeğinde görüşürüz.",
        "Annemin herkese selamı var.",
        "Otobüs yine geç kaldı.",
        "Dün gece iyi uyudun mu?",
        "Akşam yedi gibi evde olurum.",
        "Varınca haber ver.",
        "Çorba bu sefer daha güzel oldu.",
        "Evet ya, çok komikti.",
    ),
    "hi": (
        "कल दोपहर के खाने पर मिलते हैं।",
        "माँ ने सबको नमस्ते कहा है।",
        "बस आज फिर देर से आई।",
        "रात को नींद अच्छी आई?",
        "मैं सात बजे तक घर आ जाऊँगा।",
        "पहुँचकर बता देना।",
        "बच्चों को फ़िल्म बहुत पसंद आई।",
        "हाँ, वह बहुत मज़ेदार था।",
    ),
    "zh": (
        "明天中午一起吃饭吧。",
        "妈妈向大家问好。",
        "今天公交车又晚点了。",
        "昨晚睡得好吗？",
        "我七点左右到家。",
        "到了告诉我一声。",
        "孩子们很喜欢那部电影。",
        "哈哈，太好笑了。",
    ),
}
