"""The words of the demo library: a small lexicon in English, French, Spanish and German.

Owns which concepts exist, their category and their four spellings. Every concept is named by
its English word. Nothing here knows about tasks or prompts.
"""

from __future__ import annotations

LANGUAGES = ("english", "french", "spanish", "german")

# One line per concept: English, French, Spanish, German.
_NOUNS = {
    "animal": """
        dog,chien,perro,Hund; cat,chat,gato,Katze; horse,cheval,caballo,Pferd
        cow,vache,vaca,Kuh; bird,oiseau,pájaro,Vogel; fish,poisson,pez,Fisch
        pig,cochon,cerdo,Schwein; sheep,mouton,oveja,Schaf; bear,ours,oso,Bär
        wolf,loup,lobo,Wolf; mouse,souris,ratón,Maus; rabbit,lapin,conejo,Kaninchen
        lion,lion,león,Löwe; duck,canard,pato,Ente; frog,grenouille,rana,Frosch
        bee,abeille,abeja,Biene""",
    "fruit": """
        apple,pomme,manzana,Apfel; pear,poire,pera,Birne; lemon,citron,limón,Zitrone
        cherry,cerise,cereza,Kirsche; peach,pêche,melocotón,Pfirsich; grape,raisin,uva,Traube
        banana,banane,plátano,Banane; strawberry,fraise,fresa,Erdbeere
        melon,melon,melón,Melone; plum,prune,ciruela,Pflaume""",
    "family": """
        mother,mère,madre,Mutter; father,père,padre,Vater; brother,frère,hermano,Bruder
        sister,soeur,hermana,Schwester; son,fils,hijo,Sohn; daughter,fille,hija,Tochter
        uncle,oncle,tío,Onkel; aunt,tante,tía,Tante; cousin,cousin,primo,Vetter
        grandmother,grand-mère,abuela,Großmutter""",
    "clothing": """
        shirt,chemise,camisa,Hemd; shoe,chaussure,zapato,Schuh; hat,chapeau,sombrero,Hut
        coat,manteau,abrigo,Mantel; dress,robe,vestido,Kleid; skirt,jupe,falda,Rock
        glove,gant,guante,Handschuh; sock,chaussette,calcetín,Socke
        scarf,écharpe,bufanda,Schal; belt,ceinture,cinturón,Gürtel""",
    "colour": """
        red,rouge,rojo,rot; blue,bleu,azul,blau; green,vert,verde,grün
        yellow,jaune,amarillo,gelb; black,noir,negro,schwarz; white,blanc,blanco,weiß
        brown,brun,marrón,braun; pink,rose,rosado,rosa; grey,gris,gris,grau
        purple,violet,morado,lila""",
    "food": """
        bread,pain,pan,Brot; cheese,fromage,queso,Käse; milk,lait,leche,Milch
        egg,oeuf,huevo,Ei; rice,riz,arroz,Reis; soup,soupe,sopa,Suppe
        butter,beurre,mantequilla,Butter; honey,miel,miel,Honig; salt,sel,sal,Salz
        sugar,sucre,azúcar,Zucker""",
    "body part": """
        hand,main,mano,Hand; foot,pied,pie,Fuß; head,tête,cabeza,Kopf; eye,oeil,ojo,Auge
        nose,nez,nariz,Nase; mouth,bouche,boca,Mund; ear,oreille,oreja,Ohr
        arm,bras,brazo,Arm; leg,jambe,pierna,Bein; heart,coeur,corazón,Herz""",
    "job": """
        doctor,médecin,médico,Arzt; teacher,professeur,profesor,Lehrer
        farmer,fermier,granjero,Bauer; baker,boulanger,panadero,Bäcker
        painter,peintre,pintor,Maler; singer,chanteur,cantante,Sänger
        soldier,soldat,soldado,Soldat; lawyer,avocat,abogado,Anwalt
        nurse,infirmier,enfermero,Pfleger; driver,chauffeur,conductor,Fahrer""",
    "household item": """
        door,porte,puerta,Tür; table,table,mesa,Tisch; chair,chaise,silla,Stuhl
        bed,lit,cama,Bett; window,fenêtre,ventana,Fenster; key,clé,llave,Schlüssel
        knife,couteau,cuchillo,Messer; book,livre,libro,Buch; clock,horloge,reloj,Uhr
        lamp,lampe,lámpara,Lampe""",
    "nature word": """
        tree,arbre,árbol,Baum; sun,soleil,sol,Sonne; moon,lune,luna,Mond
        river,rivière,río,Fluss; mountain,montagne,montaña,Berg; sea,mer,mar,Meer
        flower,fleur,flor,Blume; stone,pierre,piedra,Stein; snow,neige,nieve,Schnee
        rain,pluie,lluvia,Regen""",
    "country": """
        France,France,Francia,Frankreich; Spain,Espagne,España,Spanien
        Germany,Allemagne,Alemania,Deutschland; Italy,Italie,Italia,Italien
        England,Angleterre,Inglaterra,England; Greece,Grèce,Grecia,Griechenland
        Poland,Pologne,Polonia,Polen; Russia,Russie,Rusia,Russland
        Austria,Autriche,Austria,Österreich; Egypt,Égypte,Egipto,Ägypten
        Belgium,Belgique,Bélgica,Belgien; Denmark,Danemark,Dinamarca,Dänemark""",
}

# Names of the categories themselves, as answers to "what kind of thing is it".
_CATEGORY_NAMES = """
    animal,animal,animal,Tier; fruit,fruit,fruta,Obst; family,famille,familia,Familie
    clothing,vêtement,ropa,Kleidung; colour,couleur,color,Farbe; food,nourriture,comida,Essen
    body,corps,cuerpo,Körper; job,métier,trabajo,Beruf; home,maison,casa,Haus
    nature,nature,naturaleza,Natur; country,pays,país,Land"""

# In the order of the countries.
_CAPITALS = """
    Paris,Paris,París,Paris; Madrid,Madrid,Madrid,Madrid; Berlin,Berlin,Berlín,Berlin
    Rome,Rome,Roma,Rom; London,Londres,Londres,London; Athens,Athènes,Atenas,Athen
    Warsaw,Varsovie,Varsovia,Warschau; Moscow,Moscou,Moscú,Moskau; Vienna,Vienne,Viena,Wien
    Cairo,Le Caire,El Cairo,Kairo; Brussels,Bruxelles,Bruselas,Brüssel
    Copenhagen,Copenhague,Copenhague,Kopenhagen"""

# Adjectives in pairs of opposites.
_ADJECTIVES = """
    hot,chaud,caliente,heiß; cold,froid,frío,kalt; big,grand,grande,groß
    small,petit,pequeño,klein; old,vieux,viejo,alt; young,jeune,joven,jung
    fast,rapide,rápido,schnell; slow,lent,lento,langsam; rich,riche,rico,reich
    poor,pauvre,pobre,arm; strong,fort,fuerte,stark; weak,faible,débil,schwach
    happy,heureux,feliz,froh; sad,triste,triste,traurig; full,plein,lleno,voll
    empty,vide,vacío,leer; clean,propre,limpio,sauber; dirty,sale,sucio,schmutzig
    light,léger,ligero,leicht; heavy,lourd,pesado,schwer; long,long,largo,lang
    short,court,corto,kurz; new,neuf,nuevo,neu; worn,usé,gastado,abgenutzt"""

_NUMBERS = """
    zero,zéro,cero,null; one,un,uno,eins; two,deux,dos,zwei; three,trois,tres,drei
    four,quatre,cuatro,vier; five,cinq,cinco,fünf; six,six,seis,sechs; seven,sept,siete,sieben
    eight,huit,ocho,acht; nine,neuf,nueve,neun; ten,dix,diez,zehn; eleven,onze,once,elf
    twelve,douze,doce,zwölf; thirteen,treize,trece,dreizehn; fourteen,quatorze,catorce,vierzehn
    fifteen,quinze,quince,fünfzehn; sixteen,seize,dieciséis,sechzehn
    seventeen,dix-sept,diecisiete,siebzehn; eighteen,dix-huit,dieciocho,achtzehn
    nineteen,dix-neuf,diecinueve,neunzehn; twenty,vingt,veinte,zwanzig"""

_DAYS = """
    Monday,lundi,lunes,Montag; Tuesday,mardi,martes,Dienstag; Wednesday,mercredi,miércoles,Mittwoch
    Thursday,jeudi,jueves,Donnerstag; Friday,vendredi,viernes,Freitag
    Saturday,samedi,sábado,Samstag; Sunday,dimanche,domingo,Sonntag"""

_MONTHS = """
    January,janvier,enero,Januar; February,février,febrero,Februar; March,mars,marzo,März
    April,avril,abril,April; May,mai,mayo,Mai; June,juin,junio,Juni; July,juillet,julio,Juli
    August,août,agosto,August; September,septembre,septiembre,September
    October,octobre,octubre,Oktober; November,novembre,noviembre,November
    December,décembre,diciembre,Dezember"""

_SEASONS = """
    winter,hiver,invierno,Winter; spring,printemps,primavera,Frühling
    summer,été,verano,Sommer; autumn,automne,otoño,Herbst"""

NAMES = tuple(
    "Anna Ben Clara David Emma Felix Grace Henry Ida Jonas Kate Leo Mia Noah Olga Paul".split()
)

# TRANSLATIONS[language][concept] is the spelling.
TRANSLATIONS: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}


def _add(table: str) -> tuple[str, ...]:
    concepts = []
    for entry in table.replace("\n", ";").split(";"):
        if not entry.strip():
            continue
        spellings = [word.strip() for word in entry.split(",")]
        if len(spellings) != len(LANGUAGES):
            raise ValueError(f"expected {len(LANGUAGES)} spellings, found {spellings}")
        for language, word in zip(LANGUAGES, spellings, strict=True):
            TRANSLATIONS[language][spellings[0]] = word
        concepts.append(spellings[0])
    return tuple(concepts)


NOUNS = {category: _add(table) for category, table in _NOUNS.items()}
ALL_NOUNS = tuple(noun for nouns in NOUNS.values() for noun in nouns)
CATEGORY_OF = {noun: category for category, nouns in NOUNS.items() for noun in nouns}
CATEGORY_NAME = dict(zip(NOUNS, _add(_CATEGORY_NAMES), strict=True))
CAPITALS = _add(_CAPITALS)
CAPITAL_OF = dict(zip(NOUNS["country"], CAPITALS, strict=True))
ADJECTIVES = _add(_ADJECTIVES)
OPPOSITE = {
    word: ADJECTIVES[index + 1 if index % 2 == 0 else index - 1]
    for index, word in enumerate(ADJECTIVES)
}
NUMBER_WORDS = _add(_NUMBERS)
DAYS = _add(_DAYS)
MONTHS = _add(_MONTHS)
SEASONS = _add(_SEASONS)
# Winter is December to February.
SEASON_OF = {month: SEASONS[(index + 1) % 12 // 3] for index, month in enumerate(MONTHS)}
WEEKEND = DAYS[5:]
LARGEST_NUMBER = len(NUMBER_WORDS) - 1
