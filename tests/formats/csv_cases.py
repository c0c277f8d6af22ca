"""CSV as other tools and people write it, with what has to come out."""

from typing import Final

from tests.formats.read_cases import CAT, DOG, Case


def table(text: str, *said: str, name: str = "t.csv", **boxes: object) -> Case:
    """Return a CSV set of a.png with the dog."""
    return Case("csv", {name: text, "a.png": None}, {"a.png": [DOG], **boxes}, said)  # type: ignore[dict-item]


def rows(*lines: str, part: str = "") -> Case:
    """Return a CSV set without its image, a.png with the dog."""
    text = "".join(f"{line}\n" for line in lines)
    return Case("csv", {"t.csv": text}, {"a.png": [DOG]}, part=part)


CSV: Final = {
    "csv, bbox undecided": table(
        'image,label,bbox\na.png,dog,"[10.0, 20.0, 30.0, 40.0]"\n',
        "the four numbers of bbox were taken as x, y, width, height",
    ),
    "csv, bbox of sizes": table(
        'image,label,bbox\na.png,dog,"10 20 30 40"\na.png,cat,90 40 20 20\n'
    )._replace(boxes={"a.png": [DOG, CAT]}),
    "csv, bbox of corners": table(
        "image,label,bbox\na.png,dog,10 20 40 60\na.png,cat,90 40 110 90\n",
        "its boxes are xmin, ymin, xmax, ymax",
    )._replace(boxes={"a.png": [DOG, ("cat", 90, 40, 20, 50)]}),
    "csv, bbox with names": table(
        "image,label,bbox\n"
        "a.png,dog,\"{'x': 10, 'y': 20, 'width': 30, 'height': 40}\"\n",
    ),
    "csv, bbox that says so": table(
        'image,label,bbox_xyxy\na.png,dog,"[10, 20, 40, 60]"\n'
    ),
    "csv, x y width height": table(
        "file_name,category,x,y,width,height\na.png,dog,10,20,30,40\n"
    ),
    "csv, x y of the centre": table(
        "file_name,category,x,y,width,height\na.png,dog,25,40,30,40\n"
        "a.png,cat,180,50,40,20\n",
        "its boxes are the centre's x and y, width, height",
    )._replace(boxes={"a.png": [DOG, ("cat", 160, 40, 40, 20)]}),
    "csv, the image's sizes and the box's": table(
        "image,image_width,image_height,label,x_min,y_min,width,height\n"
        "a.png,200,100,dog,10,20,30,40\n"
    ),
    "csv, x0 to y1": table("image,label,x0,y0,x1,y1\na.png,dog,10,20,40,60\n"),
    "csv, bbox_x1": table(
        "image,label,bbox_x1,bbox_y1,bbox_x2,bbox_y2\na.png,dog,10,20,40,60\n"
    ),
    "csv, no header": table("a.png,10,20,40,60,dog\n"),
    "csv, no header, label second": table("a.png,dog,10,20,40,60\n"),
    "csv, no header, blanks and a list": Case(
        "csv",
        {"a.csv": "a.png,10,20,40,60,dog\nb.png,,,,,\n", "c.csv": "cat,0\ndog,1\n"},
        {"a.png": [DOG], "b.png": []},
    ),
    "csv, no header, with sizes": table("a.png,200,100,dog,10,20,40,60\n"),
    "csv, fractions": table(
        "filename,class,xmin,ymin,xmax,ymax\na.png,dog,0.05,0.2,0.2,0.6\n",
        "fractions of width and height",
    ),
    "csv, decimal commas": table(
        'filename,class,xmin,ymin,xmax,ymax\na.png,dog,"0,05","0,2","0,2","0,6"\n',
        "fractions of width and height",
    ),
    "csv, semicolons": table(
        "filename;class;xmin;ymin;xmax;ymax\r\na.png;dog;10,0;20,0;40,0;60,0\r\n"
    ),
    "csv, tabs": table(
        "filename\tclass\txmin\tymin\txmax\tymax\na.png\tdog\t10\t20\t40\t60\n",
        name="t.tsv",
    ),
    "csv, old line ends": table(
        "filename,class,xmin,ymin,xmax,ymax\ra.png,dog,10,20,40,60\r"
    ),
    "csv, sep= of a spreadsheet": table(
        "sep=;\nfilename;class;xmin;ymin;xmax;ymax\na.png;dog;10;20;40;60\n"
    ),
    "csv, labels by number": table(
        "filename,class_id,xmin,ymin,xmax,ymax\na.png,3,10,20,40,60\n",
        "it has numbers for labels",
    )._replace(boxes={"a.png": [("class_3", *DOG[1:])]}),
    "csv, ids without a suffix": Case(
        "csv",
        {
            "t.csv": "image_id,class_name,x_min,y_min,x_max,y_max\na,dog,10,20,40,60\n",
            "a.png": None,
        },
        {"a": [DOG]},
    ),
    "csv, bars": rows("image|object|x1|y1|x2|y2", "a.png|dog|10|20|40|60"),
    "csv, a column of the split": rows(
        "split,image,label,x1,y1,x2,y2", "VALIDATION,a.png,dog,10,20,40,60", part="val"
    ),
    "csv, a split of no name": rows(
        "set,image,label,x1,y1,x2,y2", "7,a.png,dog,10,20,40,60"
    ),
    "csv, corners in an object": rows(
        "image,label,bbox", "a.png,dog,\"{'xmin':10,'ymin':20,'xmax':40,'ymax':60}\""
    ),
    "csv, sides in an object": rows(
        "image,label,box",
        'a.png,dog,"{""left"":10,""top"":20,""width"":30,""height"":40}"',
    ),
    "csv, a centre in an object": rows(
        "image,label,box", 'a.png,dog,"{""cx"":25,""cy"":40,""w"":30,""h"":40}"'
    ),
    "csv, makesense's without a header": rows("dog,10,20,30,40,a.png,200,100"),
    "csv, regions": rows(
        "Filename;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;Label", "a.png;10;20;40;60;dog"
    ),
    "csv, a folder beside the name": rows(
        "folder,filename,label,x1,y1,x2,y2", "cam1,a.png,dog,10,20,40,60"
    )._replace(boxes={"cam1/a.png": [DOG]}),
    "csv, a path beside an id": rows(
        "image_id,path,label,x1,y1,x2,y2", "7,cam1/a.png,dog,10,20,40,60"
    )._replace(boxes={"cam1/a.png": [DOG]}),
    "csv, a path of another image": rows(
        "filename,path,label,x1,y1,x2,y2", "a.png,/old/b.png,dog,10,20,40,60"
    ),
    "csv, carriage returns": Case(
        "csv",
        {"t.csv": "image,class_id,x1,y1,x2,y2\ra.png,1,10,20,40,60\r"},
        {"a.png": [("class_1", *DOG[1:])]},
        ["it has numbers for labels"],
    ),
}
